---@meta migrator.gcp

---Google Cloud: who we are there. Tokens are fetched when they are needed and held in memory alone.
---@class migrator.gcp
local gcp = {}

---@class (exact) migrator.GcpOptions
---@field provider? string as in steps.auth, and so are the others
---@field service_account? string
---@field id_token? string
---@field audience? string
---@field credentials? string
---@field token? string
---@field metadata? boolean
---@field delegates? string[]
---@field lifetime? number seconds
---@field scopes? string[]
---@field quota_project? string
---@field endpoints? table<string, string>
---@field universe? string
---@field environment? table<string, string>
---@field note? fun(text: string)
---@field deadline? number of looking for a metadata server

---Finds credentials. No token is fetched yet.
---Raises `config` when there are none or they cannot be used, `usage` for an option that is not known.
---@param options? migrator.GcpOptions
---@return migrator.GcpSource
function gcp.source(options) end

---Makes a source the run's own: secrets and `gcp.token` use it from now on.
---@param source? migrator.GcpSource
function gcp.use(source) end

---An access token of the run's credentials, kept while it is good.
---Raises `config` for what is refused, with what to change; `http` and `timeout`.
---```lua
---http.get(url, { headers = { Authorization = "Bearer " .. gcp.token() } })
---```
---@param deadline? number
---@return string
function gcp.token(deadline) end

---Credentials that were found.
---@class migrator.GcpSource
---@field kind string "workload_identity", "external_account", "authorized_user", "service_account", "metadata", "token"
---@field description string
---@field account? string the service account, where it is known
---@field quota_project? string
local GcpSource = {}

---An access token: the one that is held, or a new one shortly before that expires.
---@param deadline? number
---@return string
function GcpSource:token(deadline) end

---Forgets the token, because it was refused.
---@return boolean again can another be had?
function GcpSource:forget() end

---Who we are, as the binding of a role names it.
---@return string? member such as "serviceAccount:ci@acme.iam.gserviceaccount.com"; nil when it is not known
function GcpSource:principal() end

---How long the token that is held is still good.
---@return number? seconds nil when nobody said
function GcpSource:remaining() end

---The headers of a request to one of Google's APIs.
---@param deadline? number
---@return table<string, string>
function GcpSource:headers(deadline) end

return gcp, { ["migrator.GcpSource"] = GcpSource }
