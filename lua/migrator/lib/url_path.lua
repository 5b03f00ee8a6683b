---What the environment must not change of a way that a URL names: libpq takes from PGHOSTADDR and the like whatever it
---is not told, and would go to the old address with the new one in its messages.
local errors = require "migrator.error"
local text_of = require "migrator.lib.url_text"

local M = {}

---The key words of the libpq at hand, where there is one: asked only for a word of which libpq 15 knows nothing.
---@type (fun(): string[])|nil
M.linked = nil

---Changes of the environment for a child that is to go through our proxy: what its libpq would take from there of
---another way. Who logs in stays.
M.CLEAR = {}
for _, name in ipairs { "PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE", "PGSSLCERT",
  "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLNEGOTIATION", "PGSSLCERTMODE", "PGREQUIRESSL",
  "PGREQUIREPEER", "PGCHANNELBINDING", "PGGSSENCMODE", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS" } do
  M.CLEAR[name] = false
end

local function is_number(host)
  local a, b, c, d = host:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  if a then return math.max(tonumber(a), tonumber(b), tonumber(c), tonumber(d)) < 256 end
  return host:find("^%x*:[%x:.]*$") ~= nil or host:find("^%x*:[%x:.]*%%[%w_.-]+$") ~= nil
end

local function all(hosts, is)
  for host in (hosts .. ","):gmatch("([^,]*),") do
    if not is(host) then return false end
  end
  return true
end

---What libpq is told, with nothing of the way left to the environment where a host is named. Raises `config` when
---PGHOSTADDR would lead elsewhere.
---@param given table<string, string>
---@param getenv? fun(name: string): string?
---@return table<string, string> words another table
function M.settle(given, getenv)
  local words = {}
  for key, value in pairs(given) do words[key] = value end
  local host = words.host
  if not host or host == "" then return words end
  if not words.hostaddr and all(host, is_number) then
    words.hostaddr = host
  elseif not words.hostaddr and ((getenv or os.getenv)("PGHOSTADDR") or "") ~= "" then
    errors.raise("config", { message = "PGHOSTADDR is set: the connection would go there, not to the host that the "
      .. "URL names", hint = "unset PGHOSTADDR, or write hostaddr= into the URL" })
  end
  -- As url.rewrite leaves it: to a proxy on this machine, which is a pipe.
  if words.sslmode == "disable" and words.gssencmode == "disable" and all(host, text_of.is_loopback) then
    words.channel_binding = words.channel_binding or "disable"
    words.target_session_attrs = words.target_session_attrs or "any"
  end
  return words
end

---Does a host's name have to be resolved by asking somebody? That cannot be given up half way.
---@param words table<string, string>
---@return boolean
function M.asks_name_server(words)
  if (words.hostaddr or "") ~= "" then return false end
  for host in (words.host or ""):gmatch("[^,]+") do
    if not (host:find("^[/@]") or is_number(host) or host == "localhost") then return true end
  end
  return false
end

return M
