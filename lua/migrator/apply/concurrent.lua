---What a dead CREATE INDEX CONCURRENTLY leaves behind: an INVALID index, which IF NOT EXISTS would hide for ever.
local cjson = require "cjson"
local sql = require "migrator.core.sql"

local M = {}

---@param text string
---@return { name: string, regclass: string }|nil
function M.find_index(text)
  local json = sql.parse_json(text)
  local ok, tree = pcall(cjson.decode, json or "")
  local node = ok and tree.stmts and tree.stmts[1] and tree.stmts[1].stmt and tree.stmts[1].stmt.IndexStmt
  if not node or not node.concurrent or not node.idxname then return nil end
  local schema = node.relation and node.relation.schemaname
  local name = sql.quote_ident(node.idxname)
  return { name = node.idxname, regclass = schema and sql.quote_ident(schema) .. "." .. name or name }
end

---@return "absent"|"valid"|"invalid"
function M.state(conn, index)
  local valid = conn:value("select indisvalid from pg_catalog.pg_index where indexrelid = pg_catalog.to_regclass($1)",
    index.regclass)
  if valid == nil then return "absent" end
  return valid and "valid" or "invalid"
end

---@return boolean dropped
function M.drop_invalid(conn, index)
  if M.state(conn, index) ~= "invalid" then return false end
  conn:script("drop index concurrently if exists " .. index.regclass)
  return true
end

return M
