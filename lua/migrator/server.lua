---What we are connected to: the first look, what stands in the way of migrations, who else is at work.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local first_flight = require "migrator.server.first_flight"
local lazy = require "migrator.lib.lazy"
local poolers = require "migrator.lib.poolers"
local url = lazy.require "migrator.lib.url"

local M = {}

local OLDEST = 130000
local SECOND_SESSION = 3 -- seconds that a pooler may take for the test's other session

-- What lies between a session and its server, once it is known.
local kinds = setmetatable({}, { __mode = "k" })

---@param conn migrator.Conn
---@param tracking migrator.Tracking
---@param lock boolean
---@param pid? integer the backend that is known to be ours alone, where libpq knows another number
---@param answers? migrator.Answers what the session brought along: answers to M.questions
---@return table state, migrator.Row[] rows
function M.look(conn, tracking, lock, pid, answers)
  local info = conn:info()
  if info.version_number < OLDEST then
    errors.raise("config",
      { message = ("the server is PostgreSQL %s; 13 is the oldest that is supported"):format(info.version) })
  end
  local state, rows = first_flight.fly(conn, tracking, lock, pid or info.pid, answers)
  state.host, state.port, state.version = info.host, info.port, info.version:match("^%S+")
  state.kind = kinds[conn] or (state.pid == info.pid and "direct" or nil)
  return state, rows
end

M.has_tables = first_flight.has_tables

---What db.connect_later is to ask for M.look.
---@param tracking migrator.Tracking
---@param lock boolean
function M.questions(tracking, lock)
  local out = first_flight.questions(tracking, lock)
  out.oldest = OLDEST
  return out
end

---Do two clients share a backend, or does one client's backend change? A pool that has no second one for us, although
---ours is idle, has not taken ours: then it is a small one in session mode.
local function shares_backend(conn, other)
  for _ = 1, 3 do
    local first = conn:value("select pg_catalog.pg_backend_pid()")
    local ok, err = pcall(other.exec, other, "begin")
    if not ok and errors.is(err, "interrupted") then error(err, 0) end
    if not ok and errors.is(err, "timeout") then return conn:value("select pg_catalog.pg_backend_pid()") ~= first end
    if not ok then return true end
    local second = other:value("select pg_catalog.pg_backend_pid()")
    local again = first ~= second and conn:value("select pg_catalog.pg_backend_pid()")
    pcall(other.exec, other, "rollback")
    if first == second or first ~= again then return true end
  end
  return false
end

---A standby has a primary to go to; a server that replays a backup has to be waited for.
local function refuse_recovery(conn)
  local ok, follows = pcall(conn.value, conn, "select exists (select 1 from pg_catalog.pg_stat_wal_receiver)")
  if ok and not follows then
    errors.raise("config", { message = "the server is in recovery and follows no primary: a restore that is not done, "
      .. "or a read-only standby that lost its primary",
      hint = "wait for the end of the restore, or use the primary's address" })
  end
  errors.raise("config", { message = "the server is a read-only standby", hint = "use the primary's address" })
end

local function address_of(conn)
  local info = conn:info()
  return { host = info.host, port = math.tointeger(tonumber(info.port)), user = info.user, dbname = info.database }
end

---What lies between us and the server. A direct session costs nothing to tell; a pooler that its name does not give
---away is tried, with a second session.
---@param state table
---@param conn migrator.Conn
---@param connect fun(): migrator.Conn another session like conn
---@return "direct"|"session"|"transaction" kind, migrator.Pooler|nil named
function M.kind(state, conn, connect)
  if state.pid == conn:info().pid then return "direct" end
  local named = poolers.find(address_of(conn))
  if not kinds[conn] then
    local kind = named and named.mode == "transaction" and "transaction"
    if not kind then
      local other <close> = connect()
      other:set_deadline(clock.deadline(SECOND_SESSION))
      kind = shares_backend(conn, other) and "transaction" or "session"
    end
    kinds[conn] = kind
  end
  state.kind = kinds[conn]
  return state.kind, named
end

---A URL as what libpq is told of it, unless its names lead to a pooler in transaction mode: said before connecting.
---@param text string
---@return table<string, string> words
function M.check_url(text)
  local words, info = url.conninfo(text)
  poolers.insist(words, info.ignored)
  return words
end

---Refuses what migrations must not run on.
---@param state table
---@param conn migrator.Conn
---@param connect fun(): migrator.Conn another session like conn
---@return string|nil notice
function M.check(state, conn, connect)
  if state.standby then refuse_recovery(conn) end
  if state.read_only then
    errors.raise("config", { message = "the session is read-only (default_transaction_read_only)",
      hint = "use the primary's address, or a role that may write" })
  end
  local kind, named = M.kind(state, conn, connect)
  if kind == "direct" then return nil end
  if kind == "transaction" then
    errors.raise("config", { message = ("a transaction-mode pooler%s is between us and the server: locks and settings "
      .. "would be lost"):format(named and " (" .. named.name .. ")" or ""),
      hint = poolers.advise(named, address_of(conn)), state = "nothing was changed" })
  end
  return ("a pooler in session mode%s is between us and the server"):format(named and " (" .. named.name .. ")" or "")
end

---Sets the limits that a pooler kept from reaching the server: most are told to ignore start-up options.
---@param opts { lock_timeout?: number, statement_timeout?: number }
function M.limit(conn, opts)
  for _, name in ipairs { "lock_timeout", "statement_timeout" } do
    if opts[name] then
      conn:exec("select pg_catalog.set_config($1, $2, false)", name, ("%d"):format(opts[name] * 1000 // 1))
    end
  end
end

---Where a restore would have to stop to undo what comes now.
---@return string|nil lsn nil where the server does not tell it
---@return string time UTC, of the server
function M.recovery_point(conn)
  local time = conn:value [[select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')]]
  local ok, lsn = pcall(conn.value, conn, "select pg_catalog.pg_current_wal_lsn()::text")
  return ok and lsn or nil, time
end

---Who holds the run lock, or nil when nobody does any more.
---@param conn migrator.Conn
---@param key integer
function M.find_holder(conn, key)
  return conn:row([[
select a.pid, a.application_name, a.usename as user, coalesce(host(a.client_addr), 'local') as host,
  to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as since,
  extract(epoch from now() - a.backend_start)::int4 as seconds
from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and (l.classid::int8 << 32) | l.objid::int8 = $1::int8]], key)
end

---Of another role's session the server tells the rest only to those who may read all of pg_stat_activity.
---@param holder table
---@return string
function M.describe_holder(holder)
  local text = ("pid %d, %s, user %s"):format(holder.pid, holder.application_name, holder.user)
  if type(holder.since) ~= "string" then return text end
  return text .. (", from %s, since %s UTC (%d s)"):format(holder.host, holder.since, holder.seconds)
end

return M
