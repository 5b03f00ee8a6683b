---A statement's parse tree, and the names in it.
local cjson = require "cjson"
local sql = require "migrator.core.sql"

local M = {}

-- Where no name needs quotes, none are shown: these texts are for people.
local function part(name) return name:find("^[%l_][%l%d_$]*$") and name or sql.quote_ident(name) end

---@param text string one statement
---@return string|nil kind the node's name, such as AlterTableStmt
---@return table|string node, or why it cannot be read
function M.parse(text)
  local json, message = sql.parse_json(text)
  if not json then return nil, message end
  local ok, tree = pcall(cjson.decode, json)
  local first = ok and tree.stmts and tree.stmts[1]
  if not first then return nil, "the tree is nested too deeply" end
  return next(first.stmt)
end

---@param range { schemaname?: string, relname: string }
---@return string
function M.relation(range)
  return range.schemaname and part(range.schemaname) .. "." .. part(range.relname) or part(range.relname)
end

---The parts of a name, however the grammar wraps it.
---@return string[]
function M.parts(object)
  local list = object.List and object.List.items or object.TypeName and object.TypeName.names
    or object.ObjectWithArgs and object.ObjectWithArgs.objname or { object }
  local out = {}
  for i, item in ipairs(list) do out[i] = item.String and part(item.String.sval) or "?" end
  return out
end

---@return string
function M.name(object) return table.concat(M.parts(object), ".") end

return M
