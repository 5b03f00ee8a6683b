---The first flight after connecting: where we are, whether the run lock is ours, and what is tracked. One round trip.
local errors = require "migrator.error"
local sql = require "migrator.core.sql"
local tracking_table = require "migrator.tracking"

local M = {}

-- A client that is gone must not hold its locks for hours: the server is to see a broken network within a minute, and,
-- from 14 on, a closed connection while a statement runs. Where the setting is unknown or the platform cannot, nothing
-- is set; whoever asked for less keeps it.
local NOTICE_DEATH = [[
case when pg_catalog.current_setting('tcp_keepalives_idle')::int4 > 30 then
  pg_catalog.set_config('tcp_keepalives_idle', '30', false)
  || pg_catalog.set_config('tcp_keepalives_interval', '10', false)
  || pg_catalog.set_config('tcp_keepalives_count', '3', false) end,
case when pg_catalog.current_setting('client_connection_check_interval', true) = '0'
    and pg_catalog.strpos(pg_catalog.version(), 'linux') > 0 then
  pg_catalog.set_config('client_connection_check_interval', '2s', false) end]]

-- What only some databases have to be asked. A query cannot name a table that may not be there, but a function can be
-- given one as text; and a new backend, whose caches are empty, need not plan what is never executed: reading the
-- catalog costs it more than all the rest of the first look. A view would run what somebody else wrote: only a table
-- is the marker.
local OURS = [[select 'progress' = any(ours) as progress, case when 'environment' = any(ours) then
    pg_catalog.query_to_xml('select name from migrator.environment', false, false, '') end as marker
  from (select array(select relname::text from pg_catalog.pg_class
    where relnamespace = pg_catalog.to_regnamespace('migrator') and relkind = 'r') as ours) one]]
local TABLES = [[select exists (select 1 from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and n.nspname !~ '^pg_'
    and n.nspname not in ('information_schema', 'migrator', %s)) as found]]

-- The marker stands before the lock, so that an error of its own leaves no lock behind.
local STATE = [[select %s pg_catalog.pg_backend_pid() as pid, pg_catalog.pg_is_in_recovery() as standby,
  pg_catalog.current_setting('transaction_read_only') = 'on' as read_only,
  pg_catalog.current_setting('lock_timeout') as lock_timeout,
  pg_catalog.current_setting('max_locks_per_transaction') as max_locks,
  array[pg_catalog.current_setting('max_connections'), pg_catalog.current_setting('max_prepared_transactions'),
    pg_catalog.current_setting('max_worker_processes'), pg_catalog.current_setting('max_wal_senders'),
    coalesce(pg_catalog.current_setting('autovacuum_worker_slots', true),
      pg_catalog.current_setting('autovacuum_max_workers'))] as backends,
  pg_catalog.current_database() as database, current_user as user, pg_catalog.to_regclass(%s) is not null as tracked,
  pg_catalog.to_regnamespace(%s) is not null as has_schema, %s
  from (select pg_catalog.pg_backend_pid() = $1::int4) s(own)]]

-- Behind a pooler the backend's pid is not the one that libpq was told, and then no session lock may be taken.
local LOCK = [[case when own then pg_catalog.pg_try_advisory_lock(%d) end as locked,
  case when own then array[]] .. NOTICE_DEATH .. "] end as guarded"
local NO_LOCK = "null::boolean as locked"

local function lazily(condition, query, name)
  return ("case when %s then pg_catalog.query_to_xml(%s, false, false, '')::text end as %s, "):format(condition,
    sql.quote_literal(query), name)
end

local function state_question(tracking, lock, with_xml)
  local name, rare = sql.quote_literal(tracking.name), ""
  if with_xml then
    rare = lazily("pg_catalog.to_regnamespace('migrator') is not null", OURS, "ours")
      .. lazily(("pg_catalog.to_regclass(%s) is null"):format(name),
        TABLES:format(sql.quote_literal(tracking.schema)), "tables")
  end
  return STATE:format(rare, name, sql.quote_literal(sql.quote_ident(tracking.schema)),
    lock and LOCK:format(tracking.key) or NO_LOCK)
end

local NO_TABLE = { ["42P01"] = true, ["3F000"] = true }

local function read_tracked(batch)
  local ok, rows = pcall(batch.next, batch)
  if ok then return rows end
  if errors.is(rows, "sql") and NO_TABLE[rows.sqlstate] then return {} end
  if errors.is(rows, "sql") and rows.sqlstate == "42501" then
    rows.hint = "the user needs select and insert on the tracking table and usage on its schema and sequence"
  end
  error(rows, 0)
end

local function skip_to_sync(batch)
  repeat local what = batch:next() until what == "sync" or what == nil
end

-- Apart from the rest, for not everybody may ask.
local SYSTEM = "select system_identifier::text as system from pg_catalog.pg_control_system()"

local function read_system(batch)
  local ok, rows = pcall(batch.next, batch)
  if ok then return rows[1] and rows[1].system or nil end
  if errors.is(rows, "sql") then return nil end
  error(rows, 0)
end

---In one flight, each a section of its own. $1 of the first is the backend's pid.
---@param tracking migrator.Tracking
---@param lock boolean whether to try to take the run lock
---@return string[]
function M.questions(tracking, lock) return { state_question(tracking, lock, true), tracking.read, SYSTEM } end

local function ask(conn, questions, pid)
  local batch = conn:batch()
  for number, question in ipairs(questions) do
    if number == 1 then batch:queue(question, pid) else batch:queue(question) end
    batch:sync()
  end
  return batch
end

---@param answers migrator.Batch|migrator.Answers closed when it was read
local function read(answers)
  local _ <close> = answers
  local state = answers:next()[1]
  skip_to_sync(answers)
  local rows = read_tracked(answers)
  skip_to_sync(answers)
  state.system_identifier = read_system(answers)
  skip_to_sync(answers)
  return state, rows
end

local FEATURE_NOT_SUPPORTED = "0A000"

---A server that was built without XML needs another flight, and for a marked database a third.
local function ask_without_xml(conn, err, tracking, lock, pid)
  if not errors.is(err, "sql") then error(err, 0) end
  if err.sqlstate == "42501" then
    errors.add(err, { hint = "the schema migrator must be readable: `migrator baseline --environment NAME` grants it" })
  end
  if err.sqlstate ~= FEATURE_NOT_SUPPORTED then error(err, 0) end
  local state, rows = read(ask(conn, { state_question(tracking, lock, false), tracking.read, SYSTEM }, pid))
  local names = {}
  for _, row in ipairs(conn:exec [[select relname::text as name from pg_catalog.pg_class
    where relnamespace = pg_catalog.to_regnamespace('migrator') and relkind = 'r']]) do
    names[row.name] = true
  end
  state.has_progress = names.progress or false
  state.marker = names.environment and conn:value "select name from migrator.environment" or nil
  return state, rows
end

---What query_to_xml made of the rare questions; what was not asked is nil.
local function read_lazy(state)
  local function text(name) return type(state[name]) == "string" and state[name] or "" end
  state.has_tables = ({ ["true"] = true, ["false"] = false })[text("tables"):match "<found>(%l+)</found>"]
  state.has_progress = text("ours"):find("<progress>true</progress>", 1, true) ~= nil
  state.marker = text("ours"):match "<name>(.-)</name>"
end

local function count_lock_slots(state)
  local count = 1
  for _, number in ipairs(state.backends) do count = count + math.tointeger(tonumber(number)) end
  state.lock_slots, state.max_locks = count, math.tointeger(tonumber(state.max_locks))
end

---Has the database tables that are neither the system's nor ours? The tracking table's schema does not count.
---@param conn migrator.Conn
---@param tracking migrator.Tracking
---@return boolean
function M.has_tables(conn, tracking) return conn:value(TABLES:format("$1"), tracking.schema) end

---@param conn migrator.Conn
---@param tracking migrator.Tracking
---@param lock boolean whether to try to take the run lock
---@param pid integer the backend that is known to be ours alone
---@param answers? migrator.Answers to M.questions, asked already
---@return table state, migrator.Row[] rows
function M.fly(conn, tracking, lock, pid, answers)
  local ok, state, rows = pcall(function() return read(answers or ask(conn, M.questions(tracking, lock), pid)) end)
  if ok then
    read_lazy(state)
  else
    state, rows = ask_without_xml(conn, state, tracking, lock, pid)
  end
  count_lock_slots(state)
  return state, tracking_table.rows(rows)
end

return M
