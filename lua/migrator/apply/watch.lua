---While a statement keeps us waiting: who is in the way? Asked on a second connection, opened only then.
local clock = require "migrator.core.clock"
local duration = require "migrator.lib.duration"

local M = {}

local PATIENCE, EVERY = 1, 2 -- seconds until the first look, and between looks

local BLOCKERS = [[
select b.pid, coalesce(b.usename, b.backend_type) as user, b.application_name, b.state, left(b.query, 120) as query,
  extract(epoch from clock_timestamp() - coalesce(b.xact_start, b.backend_start))::float8 as age,
  (select string_agg(distinct l.mode, ', ') from pg_catalog.pg_locks l where l.pid = b.pid and l.granted
     and l.relation in (select relation from pg_catalog.pg_locks w where w.pid = $1 and not w.granted)) as modes,
  (select count(*) from pg_catalog.pg_stat_activity q where $1 = any (pg_catalog.pg_blocking_pids(q.pid))) as behind
from pg_catalog.pg_stat_activity b where b.pid = any (pg_catalog.pg_blocking_pids($1))]]

local function describe(row)
  local text = ("pid %d (%s%s, %s for %s%s): %s"):format(row.pid, row.user,
    row.application_name ~= "" and ", " .. tostring(row.application_name) or "", tostring(row.state),
    duration.format(row.age), type(row.modes) == "string" and ", holds " .. row.modes or "", tostring(row.query))
  return row.behind > 0 and text .. ("; %d session(s) wait behind us"):format(row.behind) or text
end

---@param connect fun(): migrator.Conn
---@param conn migrator.Conn the session that may have to wait
---@param emit fun(name: string, data: table)
---@return fun(batch: any, meta: table) wait returns when the batch has its next answer
function M.new(connect, conn, emit)
  local pid = conn:info().pid
  local told = {}
  local function look(meta, since)
    local ok, watcher = pcall(connect)
    if not ok then return end
    local looked, rows = pcall(watcher.exec, watcher, BLOCKERS, pid)
    watcher:close()
    if not looked then return end
    for _, row in ipairs(rows) do
      if not told[row.pid] then
        told[row.pid] = true
        emit("waiting", { message = ("%s waits for a lock, since %s, held by %s"):format(
          meta.entry and meta.entry.tag or "the run", duration.format(clock.now() - since), describe(row)) })
      end
    end
  end
  return function(batch, meta)
    local since, patience = clock.now(), PATIENCE
    while not batch:wait(clock.deadline(patience)) do
      look(meta, since)
      patience = EVERY
    end
  end
end

return M
