---The server that a machine of Google's asks who it is.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local refusal = require "migrator.gcp.refusal"
local sts = require "migrator.gcp.sts"
local web = require "migrator.web"

local M = {}

local PROBE_SECONDS = 3
local PATH = "/computeMetadata/v1/instance/service-accounts/default/"

---@param environment table<string, string>
---@return string
function M.base(environment)
  local host = environment.GCE_METADATA_HOST
  if host == nil or host == "" then host = "metadata.google.internal" end
  return "http://" .. host
end

local function ask(cx, path, opts)
  local answer = web.send({ url = M.base(cx.environment) .. path, headers = { ["Metadata-Flavor"] = "Google" } }, opts)
  -- Something else that answers on this address (a captive portal, a router) is not to be believed.
  if answer.status == 200 and answer.headers["metadata-flavor"] ~= "Google" then
    errors.raise("http", { message = "metadata server: what answers there is not Google's", reason = "not_metadata" })
  end
  return answer
end

---Is there one? Asked once, briefly.
---@param cx migrator.GcpContext
---@param deadline? number
---@return boolean
function M.is_there(cx, deadline)
  local soon = math.min(deadline or math.huge, clock.deadline(PROBE_SECONDS))
  local ok, answer = pcall(ask, cx, "/computeMetadata/v1/", { deadline = soon, tries = 1 })
  if not ok and errors.is(answer, "interrupted") then error(answer, 0) end
  return ok and answer.status == 200
end

---@param cx migrator.GcpContext
---@param scopes string[]
---@param deadline? number
---@return string token
---@return number seconds
function M.token(cx, scopes, deadline)
  local what = "cannot get a token from the metadata server"
  local answer = ask(cx, PATH .. "token?scopes=" .. web.encode(table.concat(scopes, ",")),
    { deadline = deadline, note = cx.note, what = "metadata server" })
  if answer.status ~= 200 then error(refusal.make("metadata", what, answer, {}), 0) end
  return sts.read(cx, what, answer)
end

return M
