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

---What two names of one relation have in common, as far as text goes: the schema `public` is where names without one
---are made, unless somebody changed search_path.
---@param name string
---@return string
function M.key(name) return (name:gsub("^public%.", "")) end

local WRITES = { InsertStmt = true, UpdateStmt = true, DeleteStmt = true, MergeStmt = true }

local function collect(kind, node, role, found, ctes)
  if node.relname then
    if type(node.relname) == "string" then found[#found + 1] = { range = node, role = role } end
    return
  end
  if node.ctename then ctes[node.ctename] = true end
  local inner = kind == "SelectStmt" and node.lockingClause and "locked" or "read"
  for key, child in pairs(node) do
    if type(child) == "table" then
      local target = WRITES[kind] and key == "relation"
      collect(key, child, target and "target" or type(key) == "string" and key:find("^fromClause") and inner or role,
        found, ctes)
    end
  end
end

---The relations of a query, those of its sub-queries included, targets of writes first, then by name. Names of WITH are
---none.
---@param kind string
---@param node table
---@param fn fun(range: table, role: "target"|"locked"|"read")
function M.each_relation(kind, node, fn)
  local found, ctes = {}, {}
  collect(kind, node, "read", found, ctes)
  local function rank(item) return (item.role == "target" and "0" or "1") .. M.relation(item.range) end
  table.sort(found, function(a, b) return rank(a) < rank(b) end)
  for _, item in ipairs(found) do
    if item.role == "target" or item.range.schemaname or not ctes[item.range.relname] then fn(item.range, item.role) end
  end
end

local function moved(name, schema)
  return part(schema) .. "." .. name:gsub("^.*%.", "")
end

local MADE = {
  CreateStmt = function(node) return M.relation(node.relation) end,
  CreateForeignTableStmt = function(node) return M.relation((node.base or node.baseStmt).relation) end,
  CreateTableAsStmt = function(node) return M.relation(node.into.rel) end,
  ViewStmt = function(node) return not node.replace and M.relation(node.view) or nil end,
  CreateSeqStmt = function(node) return M.relation(node.sequence) end,
  IndexStmt = function(node)
    local schema = node.relation.schemaname
    return node.idxname and (schema and part(schema) .. "." or "") .. part(node.idxname) or nil
  end,
  SelectStmt = function(node) return node.intoClause and M.relation(node.intoClause.rel) or nil end,
  RenameStmt = function(node)
    if not node.relation or not node.newname or node.subname then return nil end
    local schema = node.relation.schemaname
    return (schema and part(schema) .. "." or "") .. part(node.newname)
  end,
  AlterObjectSchemaStmt = function(node)
    return node.relation and moved(M.relation(node.relation), node.newschema) or nil
  end,
}

---The names of relations that are there after a statement and not before it: made, renamed or moved by it.
---@param kind string|nil
---@param node table|string
---@return string[]
function M.made(kind, node)
  if kind == "CreateSchemaStmt" then
    local out = {}
    for _, element in ipairs(node.schemaElts or {}) do
      for _, name in ipairs(M.made(next(element))) do out[#out + 1] = name end
    end
    return out
  end
  local handler = kind and MADE[kind]
  return { handler and handler(node) or nil }
end

return M
