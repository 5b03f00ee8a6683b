---How far a migration came that cannot be one transaction. Kept in our own schema, made only when first needed.
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
  conn:exec(([[create table if not exists %s (tracking text not null, hash text not null, statement int4 not null,
    state text not null, at timestamptz not null default now(), primary key (tracking, hash))]]):format(TABLE))
end

---The last statement that is known to be done, and whether the one after it was begun.
---@return integer done, boolean begun
function M.find(conn, tracking, hash)
  local row = conn:row(("select statement, state from %s where tracking = $1 and hash = $2"):format(TABLE), tracking,
    hash)
  if not row then return 0, false end
  if row.state == "begun" then return row.statement - 1, true end
  return row.statement, false
end

---@param state "begun"|"done"
function M.record(conn, tracking, hash, statement, state)
  conn:exec(([[insert into %s as p (tracking, hash, statement, state) values ($1, $2, $3, $4)
    on conflict (tracking, hash) do update set statement = $3, state = $4, at = now()]]):format(TABLE), tracking, hash,
    statement, state)
end

---Forgets a migration's progress, and takes the table and the schema away again when nothing else is in them.
function M.clear(conn, tracking, hash)
  conn:exec(("delete from %s where tracking = $1 and hash = $2"):format(TABLE), tracking, hash)
  if conn:value(("select exists (select 1 from %s)"):format(TABLE)) then return end
  local alone = conn:value([[select count(*) = 1 from pg_catalog.pg_depend where refclassid = 'pg_catalog.pg_namespace'::regclass
    and refobjid = (select oid from pg_catalog.pg_namespace where nspname = 'migrator')]])
  conn:exec("drop table " .. TABLE)
  if alone then conn:exec("drop schema migrator") end
end

return M
