---How far a migration came that cannot be one transaction. Kept in our own schema, made only when first needed.
local errors = require "migrator.error"
local hash = require "migrator.core.hash"

local M = {}

local TABLE = "migrator.progress"

---@return boolean is the table there?
function M.is_kept(conn) return conn:value("select pg_catalog.to_regclass('migrator.progress') is not null") end

---@param conn migrator.Conn
function M.prepare(conn)
  if M.is_kept(conn) then return end
  if not conn:value("select exists (select 1 from pg_catalog.pg_namespace where nspname = 'migrator')") then
    conn:exec("create schema if not exists migrator")
  end
  conn:exec(([[create table if not exists %s (tracking text not null, tag text not null, statement int4 not null,
    done_digest text not null, state text not null, at timestamptz not null default now(),
    primary key (tracking, tag))]]):format(TABLE))
end

---The digests of a file's first 0, 1, 2 … statements: what was done stays recognizable when the rest is mended.
---@param list migrator.Statement[]
---@return table<integer, string>
function M.digests(list)
  local out = { [0] = hash.sha256("") }
  for i, statement in ipairs(list) do out[i] = hash.sha256(out[i - 1] .. statement.text) end
  return out
end

---The last statement that is known to be done and, if the one after it was begun, what was noted then.
---@param entry migrator.Entry
---@param digests table<integer, string>
---@return integer done, string|nil begun
function M.find(conn, tracking, entry, digests)
  local row = conn:row(("select statement, done_digest, state from %s where tracking = $1 and tag = $2"):format(TABLE),
    tracking, entry.tag)
  if not row then return 0 end
  local begun = row.state:match("^begun ?(.*)")
  local done = begun and row.statement - 1 or row.statement
  if digests[done] ~= row.done_digest then
    errors.raise("checksum", {
      message = ("%s was edited in its first %d statement(s), which ran already"):format(entry.tag, done),
      file = entry.path, migration = entry.tag, part_way = done > 0,
      hint = "restore those statements; what stands behind them may be changed, and the next run goes on there" })
  end
  return done, begun
end

---The migrations that stopped part way, whatever their files are now. The table may be gone since the first look, with a
---run that has ended.
---@param tracking string the tracking table's name
---@return table<string, integer> done statements by tag
function M.list(conn, tracking)
  local out = {}
  if not M.is_kept(conn) then return out end
  local query = ("select tag, statement, state from %s where tracking = $1"):format(TABLE)
  for _, row in ipairs(conn:exec(query, tracking)) do
    out[row.tag] = row.state == "done" and row.statement or row.statement - 1
  end
  return out
end

---@param state string "done", or "begun" and what is to be noted with it
function M.record(conn, tracking, entry, digests, statement, state)
  local done = state == "done" and statement or statement - 1
  conn:exec(([[insert into %s as p (tracking, tag, statement, done_digest, state) values ($1, $2, $3, $4, $5)
    on conflict (tracking, tag) do update set statement = $3, done_digest = $4, state = $5, at = now()]]):format(TABLE),
    tracking, entry.tag, statement, digests[done], state)
end

---Forgets a migration's progress, and takes the table and the schema away again when nothing else is in them.
function M.clear(conn, tracking, tag)
  conn:exec(("delete from %s where tracking = $1 and tag = $2"):format(TABLE), tracking, tag)
  if conn:value(("select exists (select 1 from %s)"):format(TABLE)) then return end
  local alone = conn:value([[select count(*) = 1 from pg_catalog.pg_depend where refclassid = 'pg_catalog.pg_namespace'::regclass
    and refobjid = (select oid from pg_catalog.pg_namespace where nspname = 'migrator')]])
  conn:exec("drop table " .. TABLE)
  if alone then conn:exec("drop schema migrator") end
end

return M
