---Acting as a service account.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local instant = require "migrator.lib.instant"
local refusal = require "migrator.gcp.refusal"
local tokens = require "migrator.gcp.token"
local web = require "migrator.web"

local M = {}

---@param account string
---@return string
function M.check_account(account)
  if not account:find("^[%w._-]+@[%w.-]+$") and not account:find("^%d+$") then
    errors.raise("config", { message = ("service_account = %q is no service account"):format(account),
      hint = "NAME@PROJECT.iam.gserviceaccount.com" })
  end
  return account
end

local function full_name(account) return "projects/-/serviceAccounts/" .. account end

---@param cx migrator.GcpContext
---@param account string
---@return string
function M.url(cx, account)
  return ("%s/v1/%s:generateAccessToken"):format(cx.endpoints.iamcredentials, full_name(account))
end

-- By the server's clock where it says the time: ours may be wrong.
local function remaining(answer, expires)
  local now = instant.http(answer.headers.date) or clock.wall() / 1000
  return expires - now
end

---@param cx migrator.GcpContext
---@param spec { url: string, account: string, lifetime: number, scopes: string[], delegates?: string[] }
---@param token string of who asks
---@param facts table
---@param deadline? number
---@return string token
---@return number seconds
function M.impersonate(cx, spec, token, facts, deadline)
  local what = "cannot get a token of the service account"
  local delegates
  for i, account in ipairs(spec.delegates or {}) do
    delegates = delegates or {}
    delegates[i] = account:find("/", 1, true) and account or full_name(account)
  end
  local answer = web.send({ url = spec.url, method = "POST", headers = { Authorization = "Bearer " .. token,
    ["Content-Type"] = "application/json", Accept = "application/json" },
    body = cjson.encode { scope = spec.scopes, lifetime = ("%ds"):format(math.floor(spec.lifetime)),
      delegates = delegates } }, { deadline = deadline, note = cx.note, what = "IAM credentials" })
  if answer.status ~= 200 then error(refusal.make("iam", what, answer, facts), 0) end
  local json = type(answer.json) == "table" and answer.json or {}
  local expires = instant.rfc3339(json.expireTime)
  if not tokens.is_usable(json.accessToken) or not expires then tokens.refuse_answer(what) end
  cx.hide(json.accessToken)
  return json.accessToken, remaining(answer, expires)
end

return M
