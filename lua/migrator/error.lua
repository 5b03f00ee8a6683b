---The closed set of failures. An error is a table with this metatable; C makes the same ones (src/bind/error.c).
---Programs branch on `code` and `sqlstate`, never on text.
local M = {}

---Exit code of each error code; `interrupted` depends on the signal.
M.EXIT = {
  sql = 1, seed = 1, checksum = 1, drift = 1, verify = 1, lint = 1,
  usage = 2, config = 2, journal = 2, script = 2, parse = 2,
  internal = 3,
  connect = 4, timeout = 4, proxy = 4, http = 4,
  lock = 5,
  interrupted = 130,
}

local SIGINT = 2

---@class migrator.Error
---@field code string one of the keys of EXIT
---@field message string what failed and why, without a secret
---@field sqlstate? string
---@field severity? string
---@field detail? string
---@field hint? string what to do
---@field context? string
---@field position? integer in characters from 1, within `statement`
---@field statement? string
---@field file? string
---@field line? integer
---@field column? integer in characters from 1
---@field migration? string tag
---@field step? string
---@field signal? integer
---@field cause? any
---@field traceback? string
local Error = debug.getregistry()["migrator.error"] or {}
Error.__name = "migrator.error"
Error.__index = Error

function Error:__tostring()
  local where = ""
  if self.file then
    where = self.file .. ":"
    if self.line then where = where .. self.line .. ":" end
    if self.column then where = where .. self.column .. ":" end
    where = where .. " "
  end
  local state = self.sqlstate and (" (" .. self.sqlstate .. ")") or ""
  return where .. self.message .. state
end

---Makes an error without raising it.
---@param code string
---@param fields table|string its fields, or just the message
---@return migrator.Error
function M.new(code, fields)
  if not M.EXIT[code] then error("no such error code: " .. tostring(code), 2) end
  local self = type(fields) == "table" and fields or { message = fields }
  self.code = code
  if type(self.message) ~= "string" then error("an error needs a message", 2) end
  return setmetatable(self, Error)
end

---Raises an error.
---@param code string
---@param fields table|string
function M.raise(code, fields) error(M.new(code, fields), 0) end

---@return boolean
function M.is(value, code) return getmetatable(value) == Error and (code == nil or value.code == code) end

---Adds fields on the way up; what an inner layer said is kept.
---@param err any
---@param fields table
---@return any err
function M.add(err, fields)
  if M.is(err) then
    for key, value in pairs(fields) do
      if rawget(err, key) == nil then rawset(err, key, value) end
    end
  end
  return err
end

-- error { code = "verify", message = …, hint = … }: a script that says itself what it means.
local function of_table(value)
  if type(value) ~= "table" or not M.EXIT[value.code] or value.code == "internal" or value.code == "interrupted"
    or type(value.message) ~= "string" then
    return nil
  end
  return M.new(value.code, { message = value.message, hint = type(value.hint) == "string" and value.hint or nil,
    detail = type(value.detail) == "string" and value.detail or nil })
end

---Turns whatever was raised into one of ours.
---@param value any
---@param code string for a value that is not ours: `script` for a user's chunk, `internal` for our own
---@return migrator.Error
function M.wrap(value, code)
  if M.is(value) then return value end
  local meant = code == "script" and of_table(value)
  if meant then return meant end
  local text = type(value) == "string" and value or "error value: " .. tostring(value)
  local file, line, rest = text:match("^([^\n:]+%.lua):(%d+): (.*)$")
  if file then return M.new(code, { message = rest, file = file, line = math.tointeger(line) }) end
  return M.new(code, text)
end

---@param err migrator.Error
---@return integer
function M.exit_code(err)
  if err.code == "interrupted" then return 128 + (err.signal or SIGINT) end
  return M.EXIT[err.code] or M.EXIT.internal
end

return M
