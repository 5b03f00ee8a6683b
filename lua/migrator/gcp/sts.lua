---The exchange of somebody else's token for Google's (RFC 8693).
local base64 = require "migrator.lib.base64"
local refusal = require "migrator.gcp.refusal"
local token = require "migrator.gcp.token"
local web = require "migrator.web"

local M = {}

local GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
local ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
M.JWT = "urn:ietf:params:oauth:token-type:jwt"

---`access_token` and `expires_in` of an answer of OAuth's kind.
---@param cx migrator.GcpContext
---@param what string
---@param answer migrator.WebAnswer
---@return string token
---@return number seconds
function M.read(cx, what, answer)
  local json = type(answer.json) == "table" and answer.json or {}
  local seconds = tonumber(json.expires_in)
  if not token.is_usable(json.access_token) or not seconds or seconds <= 0 then token.refuse_answer(what) end
  cx.hide(json.access_token)
  return json.access_token, seconds
end

---@param cx migrator.GcpContext
---@param spec table url, audience, subject_token_type, scopes; client_id?, client_secret?, user_project?
---@param subject string
---@param facts table for the hints of refusals
---@param deadline? number
---@return string token
---@return number seconds
function M.exchange(cx, spec, subject, facts, deadline)
  local what = "cannot exchange the token"
  -- No Authorization header unless the file names a client: the service refuses a request that has one for nothing.
  local headers = { ["Content-Type"] = "application/x-www-form-urlencoded", Accept = "application/json" }
  if spec.client_id then
    headers.Authorization = "Basic " .. base64.encode(spec.client_id .. ":" .. (spec.client_secret or ""))
    cx.hide(spec.client_secret)
  end
  local answer = web.send({ url = spec.url, method = "POST", headers = headers, body = web.form {
    grant_type = GRANT, audience = spec.audience, scope = table.concat(spec.scopes, " "),
    requested_token_type = ACCESS_TOKEN, subject_token = subject, subject_token_type = spec.subject_token_type,
    options = spec.user_project and ('{"userProject":"%s"}'):format(spec.user_project:gsub('[\\"%c]', "")) or nil,
  } }, { deadline = deadline, note = cx.note, what = "STS" })
  if answer.status ~= 200 then error(refusal.make("sts", what, answer, facts), 0) end
  return M.read(cx, what, answer)
end

return M
