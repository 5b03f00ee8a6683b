---The two ways in which a run is disturbed: its process dies, or its session on the server does.
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local errors = require "migrator.error"
local process = require "migrator.core.process"

local M = {}

local PATIENCE = 10 -- seconds for what takes milliseconds

-- Nothing of ours may run after it, as when the kernel takes a process for lack of memory.
local KILL = 'sleep "$2"; kill -KILL "$1"'

local function killer(delay)
  return { "/bin/sh", "-c", KILL, "kill", tostring(process.self()), tostring(delay) }
end

local function kill()
  process.run { cmd = killer(0) }
  clock.sleep(PATIENCE)
  errors.raise("internal", "this process could not kill itself")
end

local GONE = "select not exists (select 1 from pg_catalog.pg_stat_activity where pid = $1::int4)"

local function terminate(url, pid)
  local other <close> = db.connect(url)
  other:exec("select pg_catalog.pg_terminate_backend($1::int4)", pid)
  local deadline = clock.deadline(PATIENCE)
  while not other:value(GONE, pid) and clock.now() < deadline do clock.sleep(0.002) end
end

local READS = "select wait_event = 'ClientRead' from pg_catalog.pg_stat_activity where pid = $1::int4"

---Waits until the server has done all that it was sent, so that the blow falls between two statements, as it says.
local function settle(url, pid)
  local other <close> = db.connect(url)
  local deadline = clock.deadline(PATIENCE)
  while other:value(READS, pid) == false and clock.now() < deadline do clock.sleep(0.002) end
end

-- A session that keeps every CONCURRENTLY waiting half way: it has an old snapshot and a weak lock on all tables.
local OBSTACLE = [[begin isolation level repeatable read;
do $$ declare name text; begin
  for name in select c.oid::regclass::text from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'migrator')
  loop
    execute 'lock table ' || name || ' in access share mode';
  end loop;
end $$; select count(*) from pg_catalog.pg_class]]

-- Ends the session as soon as it waits so. From another database, whose snapshots nobody waits for.
local WATCH = [[do $$ begin
  for i in 1..1000 loop
    if exists (select 1 from pg_catalog.pg_locks where pid = %d and not granted and locktype = 'virtualxid') then
      perform pg_catalog.pg_terminate_backend(%d);
      return;
    end if;
    perform pg_catalog.pg_sleep(0.005);
  end loop;
end $$]]

local DELAY = 0.2 -- seconds until a statement that was just sent waits for the obstacle

local function obstruct(url)
  local obstacle = db.connect(url)
  obstacle:script(OBSTACLE)
  return obstacle
end

local function ambush_to_kill(url)
  local obstacle = obstruct(url)
  local timer = process.start { cmd = killer(DELAY), guard = false }
  return function()
    timer:stop()
    obstacle:close()
    kill()
  end
end

local function ambush_to_terminate(url, watch_url, pid)
  local obstacle, watcher = obstruct(url), db.connect(watch_url)
  local batch = watcher:batch()
  batch:queue(WATCH:format(pid, pid))
  batch:sync()
  batch:flush()
  return function(answered)
    obstacle:close()
    batch:close()
    watcher:close()
    if answered then terminate(url, pid) end -- it did not wait: the boundary behind it, then
  end
end

---@param how "kill"|"lose"
---@param url string the database of the run
---@param watch_url string another database of the same server
---@return { settle: function, strike: fun(conn: migrator.Conn), ambush: fun(conn: migrator.Conn): function }
function M.new(how, url, watch_url)
  local out = { settle = function(conn) settle(url, conn:info().pid) end, strike = kill,
    ambush = function() return ambush_to_kill(url) end }
  if how == "lose" then
    out.strike = function(conn) terminate(url, conn:info().pid) end
    out.ambush = function(conn) return ambush_to_terminate(url, watch_url, conn:info().pid) end
  end
  return out
end

return M
