---Tokens of a CI job that say which job it is: GitHub's, asked for; GitLab's and others', found in a variable or file.
local base64 = require "migrator.lib.base64"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local refusal = require "migrator.gcp.refusal"
local token = require "migrator.gcp.token"
local web = require "migrator.web"

local M = {}

local LIMIT = 65536

---What a JWT says. Nobody checks its signature here: it is for messages.
---@param jwt string
---@return table? claims
function M.claims(jwt)
  local payload = type(jwt) == "string" and jwt:match("^[%w_-]+%.([%w_-]+)%.[%w_-]*$")
  local claims = payload and web.decode(base64.decode(payload) or "")
  return type(claims) == "table" and claims or nil
end

---@param environment table<string, string>
---@return boolean
function M.is_github(environment)
  return (environment.ACTIONS_ID_TOKEN_REQUEST_URL or "") ~= ""
    and (environment.ACTIONS_ID_TOKEN_REQUEST_TOKEN or "") ~= ""
end

local function refuse_missing(environment)
  if environment.GITHUB_ACTIONS == "true" then
    local fork = environment.GITHUB_EVENT_NAME == "pull_request"
    errors.raise("config", { message = "cannot get an OIDC token: this job may not ask for one",
      hint = "add to the job:\n  permissions:\n    contents: read\n    id-token: write"
        .. (fork and "\na pull request from a fork never may" or ""), reason = "id_token_permission" })
  end
  errors.raise("config", { message = "cannot get an OIDC token: this is no job of GitHub Actions",
    hint = environment.GITLAB_CI and "GitLab: `id_tokens: { GCP_TOKEN: { aud: … } }` in the job, and here "
      .. 'id_token = "env:GCP_TOKEN"' or 'elsewhere name where the token is: id_token = "env:NAME" or "file:PATH"',
    reason = "no_oidc" })
end

---Asks GitHub for a token for an audience. It lives five minutes.
---@param cx migrator.GcpContext
---@param audience string
---@param deadline? number
---@return string jwt
function M.github(cx, audience, deadline)
  local environment = cx.environment
  if not M.is_github(environment) then refuse_missing(environment) end
  cx.hide(environment.ACTIONS_ID_TOKEN_REQUEST_TOKEN)
  local url = environment.ACTIONS_ID_TOKEN_REQUEST_URL
  url = url .. (url:find("?", 1, true) and "&" or "?") .. "audience=" .. web.encode(audience)
  local answer = web.send({ url = url, headers = { Authorization = "Bearer "
    .. environment.ACTIONS_ID_TOKEN_REQUEST_TOKEN, Accept = "application/json" } },
    { deadline = deadline, note = cx.note, what = "OIDC token" })
  local what, value = "cannot get an OIDC token from GitHub", type(answer.json) == "table" and answer.json.value
  if answer.status ~= 200 then error(refusal.make("oidc", what, answer, {}), 0) end
  if type(value) == "string" then value = value:match("^%s*(.-)%s*$") end
  if not token.is_usable(value) then token.refuse_answer(what) end
  cx.hide(value)
  return value
end

---The token that a job finds in a variable or a file.
---@param cx migrator.GcpContext
---@param from string "env:NAME" or "file:PATH"
---@return string jwt
function M.given(cx, from)
  local kind, rest = from:match("^(%a+):(.+)$")
  local value
  if kind == "env" then
    value = cx.environment[rest]
  elseif kind == "file" then
    value = fs.read(rest, LIMIT)
  else
    errors.raise("config", { message = ("id_token = %q is neither env:NAME nor file:PATH"):format(from) })
  end
  value = (value or ""):match("^%s*(.-)%s*$")
  if value == "" then
    errors.raise("config", { message = ("cannot get an OIDC token: %s is %s"):format(rest, kind == "env"
      and "not set" or "empty"), reason = "no_oidc" })
  end
  cx.hide(value)
  return value
end

return M
