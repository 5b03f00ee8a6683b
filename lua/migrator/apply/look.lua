---One look at our session from a second one: what it waits for, who is in its way, who queues behind it, how far it is.
local cjson = require "cjson"
local duration = require "migrator.lib.duration"

local M = {}

-- $1 our backend. Only sessions that wait for a lock can be behind us, so only those are asked about. A blocker of pid 0
-- is a prepared transaction. %s is since when a session waits: exactly known from PostgreSQL 14 on.
local LOOK = [[
select a.wait_event_type as kind, a.wait_event as event,
  array_to_json(array(select row_to_json(b) from (
    select p.pid, coalesce(b.usename::text, b.backend_type) as user, b.application_name as application, b.state,
      left(b.query, 120) as query, extract(epoch from clock_timestamp() - coalesce(b.xact_start, b.backend_start)) as age,
      (select string_agg(distinct l.mode, ', ') from pg_catalog.pg_locks l where l.pid = b.pid and l.granted
        and l.relation in (select w.relation from pg_catalog.pg_locks w where w.pid = $1 and not w.granted)) as modes
    from (select distinct unnest(pg_catalog.pg_blocking_pids($1)) as pid) p
      left join pg_catalog.pg_stat_activity b on b.pid = p.pid order by age desc nulls last) b)) as blockers,
  q.sessions, q.longest::float8 as longest,
  (select row_to_json(r) from (
    select phase, blocks_done + tuples_done as done, blocks_total + tuples_total as total
      from pg_catalog.pg_stat_progress_create_index where pid = $1
    union all select phase, heap_blks_scanned, heap_blks_total from pg_catalog.pg_stat_progress_cluster where pid = $1
    union all select phase, heap_blks_scanned, heap_blks_total from pg_catalog.pg_stat_progress_vacuum where pid = $1
    limit 1) r) as progress
from pg_catalog.pg_stat_activity a cross join (
  select count(*) as sessions, max(extract(epoch from clock_timestamp() - %s)) as longest
  from pg_catalog.pg_stat_activity s where s.wait_event_type = 'Lock' and s.pid <> $1
    and $1 = any (pg_catalog.pg_blocking_pids(s.pid))) q
where a.pid = $1]]

local SINCE = "coalesce((select min(l.waitstart) from pg_catalog.pg_locks l where l.pid = s.pid), s.query_start)"
local SINCE_13, WAITSTART = "s.query_start", 140000

-- CONCURRENTLY waits for the transactions that are older than it by waiting for their virtual ids.
local SNAPSHOT = { virtualxid = true, transactionid = false }

---@class migrator.Look
---@field wait? "lock"|"snapshot" what our session waits for just now, when it is other sessions
---@field blockers table[] { pid, user, application, state, query, age, modes }
---@field sessions integer how many wait behind us
---@field longest number for how long the first of them, in seconds
---@field doing? string what the server says of a long build, with per cent where it knows them

local function decode(value) return type(value) == "string" and cjson.decode(value) or value end

local function describe_progress(progress)
  if type(progress) ~= "table" then return nil end
  local total, done = tonumber(progress.total) or 0, tonumber(progress.done) or 0
  if total <= 0 then return progress.phase end
  return ("%s, %d %%"):format(progress.phase, math.min(100, done * 100 // total))
end

---@param conn migrator.Conn another session of the same role
---@param pid integer our backend
---@return migrator.Look|nil nil when the backend is gone
function M.at(conn, pid)
  local row = conn:row(LOOK:format(conn:info().version_number >= WAITSTART and SINCE or SINCE_13), pid)
  if not row then return nil end
  local out = { sessions = row.sessions, longest = type(row.longest) == "number" and row.longest or 0,
    blockers = decode(row.blockers), doing = describe_progress(decode(row.progress)) }
  if row.kind == "Lock" then out.wait = SNAPSHOT[row.event] and "snapshot" or "lock" end
  return out
end

local function text_of(value) return type(value) == "string" and value ~= "" and value or nil end

---A session in the way, in words.
---@param blocker table
function M.describe(blocker)
  if blocker.pid == 0 then return "a prepared transaction (see pg_prepared_xacts)" end
  local who = text_of(blocker.user) or "?"
  if text_of(blocker.application) then who = who .. ", " .. blocker.application end
  local age = tonumber(blocker.age)
  local text = ("pid %d (%s, %s%s)"):format(blocker.pid, who, text_of(blocker.state) or "running",
    age and " for " .. duration.format(age) or "")
  if text_of(blocker.modes) then text = text .. ", holds " .. blocker.modes end
  if text_of(blocker.query) then text = text .. ": " .. blocker.query:gsub("%s+", " ") end
  return text
end

---All that are in the way, in words.
---@param blockers table[]
function M.describe_all(blockers)
  local out = {}
  for i, blocker in ipairs(blockers) do out[i] = M.describe(blocker) end
  return table.concat(out, "\n")
end

return M
