---What is in a database, as values that can be compared and kept as JSON: one query, on one snapshot, read only.
local db = require "migrator.db"
local queries = require "migrator.drift.queries"

local M = {}

---@class migrator.CatalogObject
---@field kind string such as "table", "column", "index"
---@field name string qualified, quoted where it must be
---@field parent? string the table that it goes with
---@field definition string as the server prints it

---@class migrator.Catalog
---@field version string of the server
---@field version_number integer
---@field grants boolean
---@field comments boolean
---@field objects migrator.CatalogObject[] by kind and name

---@class migrator.CatalogOptions
---@field grants? boolean owners and grants too
---@field comments? boolean
---@field schema? string of the tracking table, which is left out
---@field table? string

-- With an empty search_path the server qualifies all names it prints. Set for the transaction alone.
local function read(conn, query, opts)
  local path = conn:value "select current_setting('search_path')"
  conn:exec "select set_config('search_path', '', true)"
  local rows = conn:exec(query, opts.schema or "drizzle", opts.table or "__drizzle_migrations")
  conn:exec("select set_config('search_path', $1, true)", path)
  return rows
end

local function before(a, b)
  if a.kind ~= b.kind then return a.kind < b.kind end
  return a.name < b.name
end

---@param conn migrator.Conn in a transaction or not
---@param opts? migrator.CatalogOptions
---@return migrator.Catalog
function M.take(conn, opts)
  opts = opts or {}
  local query = queries.build(opts)
  local rows
  if conn:status() == "transaction" then
    rows = read(conn, query, opts)
  else
    rows = conn:transaction(function() return read(conn, query, opts) end,
      { isolation = "repeatable read", read_only = true })
  end
  local info, objects = conn:info(), {}
  for i, row in ipairs(rows) do
    objects[i] = { kind = row.kind, name = row.name, parent = row.parent ~= db.null and row.parent or nil,
      definition = row.definition ~= db.null and row.definition or "" }
  end
  table.sort(objects, before)
  return { version = info.version:match("^%S+"), version_number = info.version_number, grants = opts.grants or false,
    comments = opts.comments or false, objects = objects }
end

return M
