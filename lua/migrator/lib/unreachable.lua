---Why a server could not be reached, from libpq's text, and what to do: a network without a way, a name, a port where
---nobody listens.
local advice = require "migrator.lib.advice"

local M = {}

local NO_WAY = { "Network is unreachable", "No route to host", "Cannot assign requested address",
  "Address family not supported" }

local function has(text, words)
  for _, word in ipairs(words) do
    if text:find(word, 1, true) then return true end
  end
  return false
end

-- The addresses that were tried: `connection to server at "NAME" (ADDRESS), port …`, without the second for a number.
local function addresses(text)
  local out = {}
  for name, rest in text:gmatch('server at "([^"]*)"([^,]*),') do out[#out + 1] = rest:match("%((.-)%)") or name end
  return out
end

local OVER_IPV4 = {
  { "^db%.[%w-]+%.supabase%.co$", "Supabase's pooler in session mode (aws-0-REGION.pooler.supabase.com, port 5432, "
    .. "user postgres.REF) has IPv4, the direct host only with the IPv4 add-on" },
}

local function known(host)
  for _, entry in ipairs(OVER_IPV4) do
    if host and host:find(entry[1]) then return entry[2] end
  end
end

local function advise_ipv6(text)
  return known(text:match 'server at "([^"]*)"')
    or "use a host that has an IPv4 address (a proxy, a pooler in session mode), or give this machine IPv6"
end

-- Where packets only vanish nobody says that there is no way.
local function advise_silence(text)
  local instead = known(text:match "no answer from (%S+) port")
  return instead and "is there an IPv6 route from this machine? " .. instead or nil
end

---@param message string of a connection that failed without an answer of the server
---@return string|nil hint
function M.find(message)
  if has(message, NO_WAY) then
    local tried, six = addresses(message), 0
    for _, address in ipairs(tried) do six = six + (address:find(":", 1, true) and 1 or 0) end
    if #tried > 0 and six == #tried then
      return "the server has only an IPv6 address, and no IPv6 route leads there from this machine: "
        .. advise_ipv6(message)
    end
    return "no route leads there from this machine: is a VPN or a proxy needed first, or a firewall in the way?"
  end
  if has(message, { "could not translate host name" }) then
    return "the name is not known to DNS here: is it spelt right, and is the database still there?"
  end
  if has(message, { "refused", "No such file" }) then return "is the server running, and is it listening there?" end
  return advise_silence(message)
end

-- By SQLSTATE: whether waiting can help, and a hint where it means something else than in a session.
local RETRY = { ["57P03"] = true, ["53300"] = true }
local REFUSED = {
  ["57P03"] = "the server is starting up or shutting down",
  ["08P01"] = "a pooler is in between: connect to the server itself",
}
local NO_OPTIONS = "a pooler is in between that takes no settings: connect to the server itself (one in session mode "
  .. "may pass with ignore_startup_parameters = options)"

---Adds to a failed connection's error what to do, and whether waiting can help.
---@param err migrator.Error
---@param words table<string, string> what libpq was told
---@return migrator.Error err
function M.advise(err, words)
  if err.message:find("unsupported startup parameter", 1, true) then
    err.code, err.hint = "config", NO_OPTIONS -- another try would meet the same
  elseif err.sqlstate then
    err.hint = err.hint or REFUSED[err.sqlstate] or advice.find(err)
    err.retry = RETRY[err.sqlstate]
  else
    err.retry = true
    err.hint = M.find(err.message) or err.hint or advice.find_tls(err, words)
  end
  return err
end

return M
