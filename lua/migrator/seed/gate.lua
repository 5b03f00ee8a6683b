---May this tier run here? The environment and the host, each a gate of its own; whatever is not known counts as
---production.
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"
local url = require "migrator.lib.url"

local M = {}

M.ENVIRONMENTS = { "production", "staging", "development", "test" }

local KNOWN = {}
for _, name in ipairs(M.ENVIRONMENTS) do KNOWN[name] = true end

---@class migrator.Environment
---@field name string one of ENVIRONMENTS
---@field variable string
---@field value string|nil what the variable says
---@field why string for people: where the name comes from

---@param config migrator.Config
---@return migrator.Environment
function M.environment(config)
  local variable = config.environment_variable
  local value = config.environment[variable]
  if value == "" then value = nil end
  if value and KNOWN[value] then return { name = value, variable = variable, value = value, why = variable } end
  local why = value and ("%s is %q, which is none of %s: counts as production"):format(variable, value,
    table.concat(M.ENVIRONMENTS, ", ")) or ("%s is not set: counts as production"):format(variable)
  local near = value and suggest.nearest(value, M.ENVIRONMENTS)
  if near then why = why .. (" (did you mean %q?)"):format(near) end
  return { name = "production", variable = variable, value = value, why = why }
end

---@param tier migrator.Tier
---@param environment migrator.Environment
---@return string|nil why the tier is not for this environment
function M.find_objection(tier, environment)
  if tier.environments[environment.name] then return nil end
  local names = {}
  for _, name in ipairs(M.ENVIRONMENTS) do
    if tier.environments[name] then names[#names + 1] = name end
  end
  return ("not for %s (only %s)"):format(environment.name, table.concat(names, ", "))
end

---@param host string|nil
function M.is_local(host)
  if not host or host == "" or host:find("^[/@]") then return true end
  host = host:lower()
  return host == "localhost" or host:find("%.localhost$") ~= nil or host == "::1"
    or host:find("^127%.%d+%.%d+%.%d+$") ~= nil
end

local function split(text, out)
  for item in ((text or "") .. ","):gmatch("([^,]*),") do
    if item ~= "" then out[#out + 1] = item end
  end
end

---Every host that a session of this configuration could reach; with a session, also the one that it did reach.
---@param config migrator.Config
---@param conn? migrator.Conn
---@return string[]
function M.hosts(config, conn)
  local out = {}
  local words = config.url and (url.conninfo(config.url)) or {}
  split(words.hostaddr, out)
  split(words.host or config.environment.PGHOST, out)
  if conn then split(conn:info().host, out) end
  return out
end

---The first host that is neither local nor named in `hosts`, or nil.
---@return string|nil
function M.find_stranger(config, conn)
  local allowed = {}
  for _, host in ipairs(config.hosts) do allowed[host:lower()] = true end
  for _, host in ipairs(M.hosts(config, conn)) do
    if not M.is_local(host) and not allowed[host:lower()] then return host end
  end
end

---Refuses a tier that truncates where it could hit data that somebody needs.
---@param tier migrator.Tier
---@param environment migrator.Environment
function M.check_truncates(tier, environment, config, conn)
  if #tier.truncates == 0 then return end
  if environment.name == "production" then
    errors.raise("config", { message = ("tier %s truncates tables: it never runs in production"):format(tier.name),
      file = tier.file })
  end
  local stranger = M.find_stranger(config, conn)
  if stranger then
    errors.raise("config", { message = ("tier %s truncates tables, and %s is not a local host"):format(tier.name,
      stranger),
      file = tier.file, hint = ('name it in migrator.config.lua when that is meant: hosts = { %q }'):format(stranger) })
  end
end

return M
