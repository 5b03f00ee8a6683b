---Credentials for Google Cloud: which ones there are, and the tokens they give.
local ci = require "migrator.ci"
local clock = require "migrator.core.clock"
local credentials = require "migrator.gcp.credentials"
local endpoints = require "migrator.gcp.endpoints"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local iam = require "migrator.gcp.iam"
local metadata = require "migrator.gcp.metadata"
local oidc = require "migrator.gcp.oidc"
local refusal = require "migrator.gcp.refusal"
local sts = require "migrator.gcp.sts"
local suggest = require "migrator.lib.suggest"
local token = require "migrator.gcp.token"

local M = {}

local OPTIONS = { "provider", "service_account", "delegates", "lifetime", "scopes", "audience", "id_token",
  "credentials", "token", "metadata", "quota_project", "endpoints", "universe", "environment", "note", "deadline" }

local TOKENS = { "GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN" }
local FILES = { "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", "GOOGLE_GHA_CREDS_PATH" }

local function filled(value) return value ~= nil and value ~= "" and value or nil end

local function hide(secret)
  if type(secret) ~= "string" or secret == "" then return end
  host.seal()
  ci.mask(secret)
end

---Looks at options before anything is asked. Raises `usage` and `config`.
---@param opts table
---@return table opts
function M.check(opts)
  for name in pairs(opts) do
    local known = false
    for _, option in ipairs(OPTIONS) do known = known or option == name end
    if not known then
      errors.raise("usage", { message = ("credentials have no option %q"):format(tostring(name)),
        hint = suggest.hint(tostring(name), OPTIONS) })
    end
  end
  if opts.provider then credentials.check_provider(opts.provider) end
  if opts.service_account then iam.check_account(opts.service_account) end
  if opts.lifetime and (opts.lifetime < 60 or opts.lifetime > 43200) then
    errors.raise("usage", { message = "lifetime is from 60 s to 12 h; more than one hour needs a policy of its own" })
  end
  return opts
end

local function from_provider(cx, opts)
  local provider = credentials.check_provider(opts.provider)
  local audience = "//iam.googleapis.com/" .. provider
  local account = opts.service_account
  return credentials.federated(cx, { kind = "workload_identity", audience = audience, provider = provider,
    token_type = sts.JWT, token_url = cx.endpoints.sts .. "/v1/token", account = account,
    impersonate_url = account and iam.url(cx, account),
    description = ("workload identity federation%s"):format(account and " as " .. account or ""),
    subject = function(_, deadline)
      if opts.id_token then return oidc.given(cx, opts.id_token) end
      return oidc.github(cx, opts.audience or "https:" .. audience, deadline)
    end }, opts)
end

local function from_token(cx, value, name)
  value = value:match("^%s*(.-)%s*$")
  cx.hide(value)
  if not token.is_usable(value) then
    errors.raise("config", { message = ("the access token in %s is empty or has blanks in it"):format(name),
      hint = "gcloud auth print-access-token makes one: a single word", reason = "credentials" })
  end
  return token.new { kind = "token", description = "the access token in " .. name, fixed = true, cx = cx,
    fetch = function() return value end }
end

local function gcloud_file(environment)
  local folder = filled(environment.CLOUDSDK_CONFIG) or (filled(environment.HOME) and environment.HOME
    .. "/.config/gcloud")
  local path = folder and folder .. "/application_default_credentials.json"
  return path and fs.find(path) and path or nil
end

local function from_metadata(cx, opts)
  return token.new { kind = "metadata", description = "the service account of this machine", cx = cx,
    fetch = function(deadline) return metadata.token(cx, opts.scopes or { credentials.CLOUD_PLATFORM }, deadline) end }
end

local function refuse_none(environment)
  local job = oidc.is_github(environment) and "this job can ask GitHub for a token: name `provider` and "
    .. "`service_account` in steps.auth"
  errors.raise("config", { reason = "no_credentials", message = "no credentials for Google Cloud: no provider, token, "
    .. "GOOGLE_APPLICATION_CREDENTIALS, file of gcloud or metadata server",
    hint = job or "on a laptop: gcloud auth application-default login; in CI: steps.auth { provider = …, "
      .. "service_account = … }" })
end

local function discover(cx, opts)
  local environment = cx.environment
  for _, name in ipairs(TOKENS) do
    if filled(environment[name]) then return from_token(cx, environment[name], name) end
  end
  for _, name in ipairs(FILES) do
    if filled(environment[name]) then return credentials.from_text(cx, environment[name], opts, name) end
  end
  local path = gcloud_file(environment)
  if path then return credentials.from_text(cx, path, opts) end
  if metadata.is_there(cx, opts.deadline) then return from_metadata(cx, opts) end
  refuse_none(environment)
end

local function choose(cx, opts)
  if filled(opts.token) then return from_token(cx, opts.token, "the option") end
  if filled(opts.provider) then return from_provider(cx, opts), true end
  if filled(opts.credentials) then return credentials.from_text(cx, opts.credentials, opts, "the option") end
  if opts.metadata then return from_metadata(cx, opts) end
  return discover(cx, opts)
end

---Finds the credentials; no token is fetched yet.
---Raises `config` when there are none, or they cannot be used.
---@param opts? migrator.GcpOptions
---@return migrator.GcpSource
function M.source(opts)
  opts = M.check(opts or {})
  local environment = opts.environment or host.environment()
  local cx = { environment = environment, note = opts.note, hide = hide,
    endpoints = endpoints.resolve(environment, opts.endpoints, opts.universe) }
  local source, complete = choose(cx, opts)
  local account = opts.service_account
  if account and not complete and source.account ~= account then
    source = credentials.impersonated(cx, source, iam.url(cx, account), account, opts)
  end
  source.quota_project = filled(opts.quota_project) or filled(environment.GOOGLE_CLOUD_QUOTA_PROJECT)
    or source.quota_project
  return source
end

local current

---Makes a source the one of this run: what asks for `current` gets it from now on.
---@param source migrator.GcpSource?
function M.use(source) current = source end

---The run's source; without one, whatever the environment has.
---@param opts? migrator.GcpOptions
---@return migrator.GcpSource
function M.current(opts)
  if not current then current = M.source(opts) end
  return current
end

---An access token of the run's credentials, fetched or still good.
---Raises as `gcp.source` does, and `http`, `timeout`; a refusal is `config` with a hint.
---@param deadline? number
---@return string
function M.token(deadline) return M.current():token(deadline or clock.deadline(60)) end

---Raises what an answer of a Google API that is a "no" means.
---@param stage string
---@param what string
---@param answer migrator.WebAnswer
---@param facts table
function M.refuse(stage, what, answer, facts) error(refusal.make(stage, what, answer, facts), 0) end

return M
