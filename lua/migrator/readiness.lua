---Is there a server behind a proxy, and when a login fails, whose fault is it?
local db = require "migrator.db"
local errors = require "migrator.error"
local join = require("migrator.lib.tables").join
local url = require "migrator.lib.url"

local M = {}

local PING_SECONDS = "2" -- what a look at the server may take: libpq's own limit, which takes whole seconds from 2 on

---Does a server answer at all? A login that fails cannot tell the two apart. Raises `connect`, worth another try.
---@param dsn string
function M.look(dsn)
  local answer = db.ping(join((url.conninfo(dsn)), { connect_timeout = PING_SECONDS }))
  if answer == "accepting" then return end
  local told = answer == "rejecting" and "the server is starting up or shutting down" or "no server answers behind it"
  local err = errors.new("connect", "the proxy is ready, but " .. told)
  err.retry = true
  error(err, 0)
end

---A login through a proxy fails for reasons that only the proxy's log names. Raises when waiting cannot help.
---@param proxy migrator.Proxy
---@param result any what the login raised
function M.blame(proxy, result)
  local said, reason = proxy:epitaph()
  if said then
    errors.raise("proxy", { message = "the proxy ended while we waited for the database: " .. said,
      detail = reason and reason.line or proxy:log_tail(5), hint = reason and reason.hint, cause = result })
  end
  if not errors.is(result, "connect") or result.sqlstate then return end
  reason = proxy:reason()
  if not reason then return end
  if not reason.passing then
    errors.raise("proxy", { message = ("%s cannot reach the database: %s"):format(proxy.name, reason.why),
      detail = reason.line, hint = reason.hint, reason = reason.name, cause = result })
  end
  if not result.blamed then
    result.blamed, result.message = true, result.message .. ": " .. reason.why
    result.detail, result.hint = reason.line, reason.hint
  end
end

return M
