---Every lock of a transaction before its first statement, without waiting for any: nothing is half done when one is
---missing, and nobody queues behind us while we queue. In the order of oids, so that two runs cannot deadlock.
local locks = require "migrator.plan.locks"
local look = require "migrator.apply.look"
local sql = require "migrator.core.sql"

local M = {}

local WEAKEST = "ROW EXCLUSIVE" -- what is weaker than that stands in nobody's way who matters

-- An index is locked with its table, of which LOCK TABLE takes the name. %s: rows of name and mode.
local WANTED = [[
select t.oid::pg_catalog.regclass as relation, w.mode from (values %s) w (name, mode)
  join pg_catalog.pg_class c on c.oid = pg_catalog.to_regclass(w.name)
  left join pg_catalog.pg_index i on i.indexrelid = c.oid
  join pg_catalog.pg_class t on t.oid = coalesce(i.indrelid, c.oid) and t.relkind in ('r', 'p')]]

local TAKE = [[
declare wanted record;
begin
  for wanted in select relation, mode from (%s) v order by relation::pg_catalog.oid loop
    execute pg_catalog.format('lock table %%s in %%s mode nowait', wanted.relation, wanted.mode);
  end loop;
end]]

local HOLDERS = [[
select distinct on (a.pid) a.pid, coalesce(a.usename::text, a.backend_type) as user, a.application_name as application,
  a.state, left(a.query, 120) as query, l.mode || ' of ' || l.relation::pg_catalog.regclass as modes,
  extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.backend_start))::float8 as age
from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.granted and l.pid <> pg_catalog.pg_backend_pid()
  and l.relation in (select relation from (%s) v) order by a.pid]]

local function wanted(list)
  local out = {}
  for _, lock in ipairs(list) do
    if locks.covers(lock.mode, WEAKEST) then
      out[#out + 1] = ("(%s, %s)"):format(sql.quote_literal(lock.object), sql.quote_literal(lock.mode))
    end
  end
  return out[1] and WANTED:format(table.concat(out, ", "))
end

---@param items { entry: migrator.Entry }[]
---@return string|nil statement nil when nothing that exists is locked
---@return string|nil wanted for M.holders
function M.statement(items)
  local all = {}
  for _, item in ipairs(items) do
    for _, statement in ipairs(item.entry:statements()) do all[#all + 1] = statement end
  end
  local query = wanted((locks.all(all)))
  if not query then return nil end
  return "do " .. sql.quote_literal(TAKE:format(query)), query
end

---Who holds locks on those tables just now, in words.
---@param conn migrator.Conn in no transaction
---@param query string the second value of M.statement
function M.holders(conn, query)
  local ok, rows = pcall(conn.exec, conn, HOLDERS:format(query))
  return ok and #rows > 0 and look.describe_all(rows) or nil
end

return M
