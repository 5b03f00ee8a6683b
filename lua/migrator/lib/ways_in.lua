---Variables that are a way into a database, which programs that we start do not need.
local M = {}

---@param value string of a variable
---@return boolean is it a URL with a password?
function M.is(value) return value:find("^%s*[\"']?postgres[%w+]*://[^@]*:[^@]*@") ~= nil end

---What a program that we start has no use for, and a leak would be: each variable that is a way into a database.
---@param environment table<string, string>
---@param has_token? boolean it is given a token of its own, so it has no use for the job's either
---@return table<string, false> as `env` of `process.run` takes it
function M.withheld(environment, has_token)
  local out = { DATABASE_URL = false, PGPASSWORD = false }
  if has_token then out.ACTIONS_ID_TOKEN_REQUEST_TOKEN, out.ACTIONS_RUNTIME_TOKEN = false, false end
  for name, value in pairs(environment) do
    if M.is(value) then out[name] = false end
  end
  return out
end

return M
