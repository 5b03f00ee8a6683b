---Where the services are: Google's own, those of another universe, or the ones that options and the environment name
---(private service connect, a stand-in for tests).
local errors = require "migrator.error"
local web = require "migrator.web"

local M = {}

local NAMES = { sts = "sts", iamcredentials = "iamcredentials", secretmanager = "secretmanager", oauth2 = "oauth2",
  sqladmin = "sqladmin" }

-- gcloud's own overrides, where there is one that means the same.
local CLOUDSDK = { sts = "STS", iamcredentials = "IAMCREDENTIALS", secretmanager = "SECRETMANAGER", sqladmin = "SQL" }

---@param url string
---@param what string names it in errors
---@return string url without a slash at its end
function M.check(url, what)
  local scheme, host, loopback = web.split(url)
  if scheme ~= "https" and scheme ~= "http" then
    errors.raise("config", { message = ("%s is not a URL of https"):format(what) })
  end
  if scheme == "http" and not loopback then
    errors.raise("config", { message = ("%s: http:// toward %s would show the token to all on the way"):format(
      what, host), hint = "use https://; http:// is for this machine (127.0.0.1) alone", reason = "plain_http" })
  end
  return (url:gsub("/+$", ""))
end

---@param environment table<string, string>
---@param given? table<string, string> by name
---@param universe? string
---@return table endpoints URLs by name; `explicit[name]` those that somebody set
function M.resolve(environment, given, universe)
  universe = universe or environment.GOOGLE_CLOUD_UNIVERSE_DOMAIN
  if universe == nil or universe == "" then universe = "googleapis.com" end
  local out = { universe = universe, explicit = {} }
  for name in pairs(given or {}) do
    if not NAMES[name] then
      errors.raise("config", { message = ("there is no endpoint %q"):format(tostring(name)),
        hint = "iamcredentials, oauth2, secretmanager, sqladmin, sts" })
    end
  end
  for name, host in pairs(NAMES) do
    local variable = ("MIGRATOR_GCP_%s_URL"):format(name:upper())
    local sdk = CLOUDSDK[name] and "CLOUDSDK_API_ENDPOINT_OVERRIDES_" .. CLOUDSDK[name]
    local value, from = (given or {})[name], "endpoints." .. name
    if not value then value, from = environment[variable], variable end
    if (value == nil or value == "") and sdk then value, from = environment[sdk], sdk end
    if value and value ~= "" then
      out[name], out.explicit[name] = M.check(value, from), true
    else
      out[name] = ("https://%s.%s"):format(host, universe)
    end
  end
  return out
end

---A URL out of a credentials file: whoever can write the file could have our token sent anywhere. Only the services'
---own hosts and this machine are believed.
---@param url string
---@param endpoints table
---@param what string
---@return string
function M.believe(url, endpoints, what)
  url = M.check(url, what)
  local _, host, loopback = web.split(url)
  local known = loopback
  for _, domain in ipairs { "googleapis.com", endpoints.universe } do
    known = known or host == domain or host:sub(-#domain - 1) == "." .. domain
  end
  if not known then
    errors.raise("config", { message = ("%s names the host %s, not one of Google's"):format(what, host),
      hint = "is it the file you meant? A host of your own is named by an endpoint (docs/gcp.md), not by the file",
      reason = "untrusted_host" })
  end
  return url
end

return M
