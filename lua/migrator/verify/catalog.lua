---What the database says: tracking rows, and what in its schema is there but does not hold. The server quotes the
---names.
local errors = require "migrator.error"

local M = {}

local MENDS = {
  ["42501"] = { "sql", "the user needs usage on the schema and select on the tracking table" },
  ["42703"] = { "config", "--schema and --table name Drizzle's tracking table (id, hash, created_at)" },
}

---@param conn migrator.Conn
---@return boolean tracked, { id: integer, hash: string, created_at: integer|nil }[] rows
function M.rows(conn, schema, table_name)
  local name = conn:row([[select pg_catalog.format('%I.%I', $1::text, $2::text) as name,
    exists (select 1 from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = $1 and c.relname = $2) as tracked]], schema, table_name)
  if not name.tracked then return false, {} end
  local ok, rows = pcall(conn.exec, conn,
    ("select id::int8, hash::text, created_at::int8 from %s order by id"):format(name.name))
  if not ok then
    local mend = errors.is(rows, "sql") and MENDS[rows.sqlstate]
    if mend then
      errors.raise(mend[1], { message = "the tracking table cannot be read: " .. rows.message, hint = mend[2],
        sqlstate = rows.sqlstate })
    end
    error(rows, 0)
  end
  local out = {}
  for i, row in ipairs(rows) do
    out[i] = { id = row.id, hash = type(row.hash) == "string" and row.hash or "",
      created_at = math.type(row.created_at) == "integer" and row.created_at or nil }
  end
  return true, out
end

local INVALID = [[
select pg_catalog.format('%I.%I', n.nspname, c.relname) as name, i.indrelid::pg_catalog.regclass::text as table,
  exists (select 1 from pg_catalog.pg_stat_progress_create_index p where p.index_relid = i.indexrelid) as building
from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not (i.indisvalid and i.indisready) and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by 1]]

-- NOT ENFORCED (18) is a wish of its author, not something left undone; the column is not there before.
local NOT_VALID = [[
select pg_catalog.format('%I', k.conname) as name, k.conrelid::pg_catalog.regclass::text as table
from pg_catalog.pg_constraint k join pg_catalog.pg_namespace n on n.oid = k.connamespace
where not k.convalidated and k.conrelid <> 0 and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and pg_catalog.to_jsonb(k) ->> 'conenforced' is distinct from 'false'
order by 2, 1]]

---@param conn migrator.Conn
---@return { name: string, table: string, building: boolean }[]
function M.invalid_indexes(conn) return conn:exec(INVALID) end

---@param conn migrator.Conn
---@return { name: string, table: string }[]
function M.not_validated(conn) return conn:exec(NOT_VALID) end

return M
