---Files of credentials, each kind made into a source of tokens.
local cjson = require "cjson"
local endpoints = require "migrator.gcp.endpoints"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local iam = require "migrator.gcp.iam"
local oauth2 = require "migrator.gcp.oauth2"
local oidc = require "migrator.gcp.oidc"
local sts = require "migrator.gcp.sts"
local subject = require "migrator.gcp.subject"
local token = require "migrator.gcp.token"
local web = require "migrator.web"

local M = {}

M.CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
local LIMIT, LIFETIME = 65536, 3300
local PROVIDER = "^projects/%d+/locations/global/workloadIdentityPools/[^/]+/providers/[^/]+$"

local function refuse(where, why, hint)
  errors.raise("config", { message = ("credentials in %s: %s"):format(where, why), hint = hint,
    reason = "credentials" })
end

-- Plain text of what the provider is, however much of a URL was written around it.
---@param text string
---@return string
function M.check_provider(text)
  local provider = text:gsub("^https:", ""):gsub("^//iam%.googleapis%.com/", "")
  if provider:find(PROVIDER) then return provider end
  local why = provider:find("^projects/[^/]*%D[^/]*/") and "it needs the project's number, not its name"
    or not provider:find("/providers/") and "it ends at the pool" or "it is not complete"
  errors.raise("config", { message = ("provider = %q: %s"):format(text, why), reason = "provider",
    hint = "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER" })
end

local function scopes_of(opts, impersonated)
  if impersonated or not opts.scopes then return { M.CLOUD_PLATFORM } end
  return opts.scopes
end

---Somebody else's token, exchanged, and then a service account's when one is named.
---@param cx migrator.GcpContext
---@param spec table kind, description, subject (a function), audience, token_type, token_url; provider?, account? and
---impersonate_url?, lifetime?, file? (what else of it counts)
---@param opts table
---@return migrator.GcpSource
function M.federated(cx, spec, opts)
  local file = spec.file or {}
  local url = spec.impersonate_url
  local function fetch(deadline)
    local given = spec.subject(cx, deadline)
    local facts = { audience = spec.audience, provider = spec.provider or spec.audience:match("projects/.*$"),
      service_account = spec.account, federated = true, claims = oidc.claims(given) }
    local got, seconds = sts.exchange(cx, { url = spec.token_url, audience = spec.audience,
      subject_token_type = spec.token_type, scopes = scopes_of(opts, url), client_id = file.client_id,
      client_secret = file.client_secret, user_project = file.workforce_pool_user_project }, given, facts, deadline)
    if not url then return got, seconds end
    return iam.impersonate(cx, { url = url, account = spec.account,
      lifetime = spec.lifetime or opts.lifetime or LIFETIME, scopes = scopes_of(opts), delegates = opts.delegates },
      got, facts, deadline)
  end
  local pool = spec.audience:match("^//iam%.googleapis%.com/(projects/.-/workloadIdentityPools/[^/]+)/")
  return token.new { kind = spec.kind, description = spec.description, fetch = fetch, account = spec.account,
    member = pool and "principalSet://iam.googleapis.com/" .. pool .. "/*",
    quota_project = file.quota_project_id, cx = cx }
end

local function of_url(cx, name, url, path, where)
  if cx.endpoints.explicit[name] then
    return cx.endpoints[name] .. (path or url:match("^%a+://[^/]+(/.*)$") or "")
  end
  return endpoints.believe(url, cx.endpoints, where)
end

local function account_of(url, where)
  return url:match("serviceAccounts/([^:/]+)")
    or refuse(where, "service_account_impersonation_url names no service account")
end

local KINDS = {}

function KINDS.external_account(cx, file, opts, where)
  if type(file.audience) ~= "string" then refuse(where, "no audience") end
  local url = file.service_account_impersonation_url
  local impersonation = type(file.service_account_impersonation) == "table" and file.service_account_impersonation or {}
  return M.federated(cx, { kind = "external_account", subject = subject.of(file), audience = file.audience, file = file,
    token_type = file.subject_token_type or sts.JWT, lifetime = tonumber(impersonation.token_lifetime_seconds),
    token_url = of_url(cx, "sts", file.token_url or cx.endpoints.sts .. "/v1/token", "/v1/token",
      "the token_url of " .. where),
    impersonate_url = url and of_url(cx, "iamcredentials", url, nil, "the impersonation URL of " .. where),
    account = url and account_of(url, where),
    description = "workload identity federation by " .. where }, opts)
end

function KINDS.authorized_user(cx, file, _, where)
  for _, name in ipairs { "client_id", "client_secret", "refresh_token" } do
    if type(file[name]) ~= "string" then refuse(where, "no " .. name) end
  end
  cx.hide(file.client_secret)
  cx.hide(file.refresh_token)
  local url = cx.endpoints.oauth2 .. "/token"
  return token.new { kind = "authorized_user", description = "the signed-in user of " .. where, cx = cx,
    quota_project = file.quota_project_id,
    fetch = function(deadline) return oauth2.refresh(cx, url, file, deadline) end }
end

function KINDS.service_account(cx, file, opts, where)
  for _, name in ipairs { "client_email", "private_key" } do
    if type(file[name]) ~= "string" then refuse(where, "no " .. name) end
  end
  cx.hide(file.private_key)
  local url = of_url(cx, "oauth2", file.token_uri or cx.endpoints.oauth2 .. "/token", "/token",
    "the token_uri of " .. where)
  return token.new { kind = "service_account", description = "the key of " .. file.client_email, cx = cx,
    account = file.client_email, quota_project = file.quota_project_id,
    warnings = { ("%s is a service account's key: it works for whoever copies it, until somebody deletes it; "
      .. "workload identity federation needs no key (docs/gcp.md)"):format(where) },
    fetch = function(deadline) return oauth2.assert(cx, url, file, scopes_of(opts), deadline) end }
end

function KINDS.impersonated_service_account(cx, file, opts, where)
  local url = file.service_account_impersonation_url
  if type(file.source_credentials) ~= "table" or type(url) ~= "string" then
    refuse(where, "no source_credentials or no service_account_impersonation_url")
  end
  local inner = M.from_table(cx, file.source_credentials, {}, where)
  return M.impersonated(cx, inner, of_url(cx, "iamcredentials", url, nil, "the impersonation URL of " .. where),
    account_of(url, where), { lifetime = opts.lifetime, scopes = opts.scopes,
      delegates = opts.delegates or file.delegates })
end

---The tokens of a service account, asked for with those of another source.
function M.impersonated(cx, inner, url, account, opts)
  return token.new { kind = inner.kind, description = ("%s by %s"):format(account, inner.description),
    account = account, quota_project = inner.quota_project, warnings = inner.warnings, cx = cx,
    fetch = function(deadline)
      return iam.impersonate(cx, { url = url, account = account, lifetime = opts.lifetime or LIFETIME,
        scopes = scopes_of(opts), delegates = opts.delegates }, inner:token(deadline), { service_account = account },
        deadline)
    end }
end

local TEXTS = { "type", "audience", "subject_token_type", "token_url", "service_account_impersonation_url", "client_id",
  "client_secret", "workforce_pool_user_project", "quota_project_id", "refresh_token", "client_email", "private_key",
  "private_key_id", "token_uri" }

-- The file as the kinds read it: what is null or empty is not there, what should be a text is one, and of one line.
local function clean(given, where)
  local file = {}
  for name, value in pairs(given) do
    if value ~= cjson.null and value ~= "" then file[name] = value end
  end
  for _, name in ipairs(TEXTS) do
    local value = file[name]
    if value ~= nil and type(value) ~= "string" then refuse(where, name .. " is not a text") end
    if value and name ~= "private_key" and value:find("%c") then
      refuse(where, name .. " has control characters in it")
    end
  end
  if file.delegates ~= nil and type(file.delegates) ~= "table" then refuse(where, "delegates is not a list") end
  return file
end

---@param cx migrator.GcpContext
---@param given table
---@param opts table
---@param where string names it in errors
---@return migrator.GcpSource
function M.from_table(cx, given, opts, where)
  local file = clean(given, where)
  local make = KINDS[file.type or ""]
  if make then return make(cx, file, opts, where) end
  refuse(where, file.type and ("the type %q is not supported"):format(file.type) or "no `type`",
    file.installed or file.web and "this is an OAuth client, not credentials" or nil)
end

---@param cx migrator.GcpContext
---@param given string a path, or the JSON itself
---@param opts table
---@param where? string
---@return migrator.GcpSource
function M.from_text(cx, given, opts, where)
  local text = given
  if not given:find("^%s*{") then
    if not fs.find(given) then
      errors.raise("config", { message = "no such credentials file: " .. given, reason = "credentials",
        hint = where and where .. " names it" or nil })
    end
    text, where = fs.read(given, LIMIT), given
  end
  local file = web.decode(text)
  if type(file) ~= "table" then refuse(where or "the option", "not JSON") end
  return M.from_table(cx, file, opts, where or "the option")
end

return M
