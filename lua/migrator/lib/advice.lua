---What to do about an error that the server reports without a hint of its own: by SQLSTATE, which is the same in every
---language of the server. A script adds its own as `policy.advice["55P03"] = "call the owner of the lock"`.
local errors = require "migrator.error"

local M = {}

local RETRY_LOCK = "run again at a quieter time, or wait longer with --lock-timeout and --tries"

---@alias migrator.Advice string|fun(err: migrator.Error): string|nil

local function contains(err, text) return err.message:find(text, 1, true) ~= nil end

local UNSAFE = "scripts have `fs`, `process` and `env`; --unsafe before the file gives `io`, `os` and `debug` as well"

local function misses_unsafe(err)
  for _, what in ipairs { "global 'io'", "global 'debug'", "field 'execute'", "field 'getenv'" } do
    if err.message:find(("a nil value (%s)"):format(what), 1, true) then return true end
  end
  return false
end

local READY = {
  ["55P03"] = RETRY_LOCK,
  ["40P01"] = "run again: the other session has had its turn by now; at a quieter time it is less likely",
  ["40001"] = "run again: another session changed the same rows meanwhile",
  ["53300"] = "the server has no free connection slot: run again later, or close idle sessions",
  ["25006"] = "this session may only read: connect to the primary (target_session_attrs=read-write in the URL), "
    .. "and see that default_transaction_read_only is off",
  ["28P01"] = "check the password (DATABASE_URL, PGPASSWORD or ~/.pgpass)",
  ["3D000"] = "create the database, or correct its name in the URL",
  ["42501"] = "grant the role what it lacks, or connect as the owner; `migrator doctor` looks at the privileges",
  ["58P01"] = function(err)
    return contains(err, "extension") and "install the extension's package on the server's machine" or nil
  end,
  ["25001"] = function(err)
    return contains(err, "transaction block") and "a statement like this runs outside a transaction: give it a "
      .. "migration of its own" or nil
  end,
}

READY["57014"] = function(err)
  if contains(err, "statement timeout") then
    return "the statement ran into statement_timeout: allow it more with --statement-timeout (0: no limit)"
  elseif contains(err, "lock timeout") then
    return RETRY_LOCK
  elseif contains(err, "user request") then
    return "somebody cancelled it (pg_cancel_backend); run again"
  end
end

READY["08P01"] = function(err)
  if contains(err, "bind message supplies 0 parameters") then
    return "$1 is a parameter, and a migration has none: inside a text, quote it ('…$1…')"
  end
end

READY["42601"] = function(err)
  if contains(err, "multiple commands into a prepared statement") then
    return "db.script (conn:script) takes several statements; db.exec takes one"
  end
end

READY["53200"] = function(err)
  if contains(err, "shared memory") then
    return "the server's lock table is full: raise max_locks_per_transaction and restart it, or lock less at a time, "
      .. "with --tx file or the header `-- migrator: no-transaction`"
  end
end

READY["0A000"] = function(err)
  if contains(err, "extension") and contains(err, "is not available") then
    return "install the extension's package on the server's machine; `migrator doctor` lists what the files need"
  end
end

READY["42P07"] = function(err)
  if not err.migration or err.resume then return nil end
  return ("if the database has this from elsewhere, `migrator baseline %s` records the migration without running it")
    :format(err.migration)
end
READY["42710"] = READY["42P07"]
READY["42701"] = READY["42P07"]

READY["42P01"] = function(err)
  if err.migration then return "an earlier migration should have made it: is it in another schema (search_path)?" end
  return "`migrator status` shows whether a migration that makes it is still pending"
end

READY["28000"] = function(err)
  if contains(err, "does not exist") then return "create the role, or correct the user in the URL" end
  return "pg_hba.conf does not let this user in from here"
end

local CUT = { "does not support SSL", "SSL error", "closed the connection unexpectedly", "reset by peer" }

---A proxy on this machine does TLS itself: a second one inside it is cut off, or answered with "no".
---@param err migrator.Error of a connection
---@param words table<string, string> what it was asked with
---@return string|nil hint
function M.find_tls(err, words)
  local host = words.hostaddr or words.host or ""
  local here = host == "localhost" or host == "::1" or host:find("^127%.")
  if not here or words.sslmode == "disable" or words.sslmode == "allow" then return nil end
  for _, text in ipairs(CUT) do
    if contains(err, text) then return "if that is a proxy, which does TLS itself, use sslmode=disable toward it" end
  end
end

---What scripts add or replace.
---@type table<string, migrator.Advice>
M.custom = {}

---@param err any
---@return string|nil hint the error's own one first
function M.find(err)
  if not errors.is(err) then return nil end
  if err.hint and err.hint ~= "" then return err.hint end
  local state = rawget(err, "sqlstate")
  if not state then return err.code == "script" and misses_unsafe(err) and UNSAFE or nil end
  local advice = M.custom[state] or READY[state]
  if type(advice) == "function" then
    local ok, said = pcall(advice, err) -- a faulty piece of advice must not hide the error it is about
    advice = ok and said or nil
  end
  return type(advice) == "string" and advice or nil
end

return M
