-- Spans of time: "1h30m" in, seconds inside, "1.23 s" out.
local errors = require "migrator.error"

local M = {}

local UNITS = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 }
local ORDER = { ms = 1, s = 2, m = 3, h = 4, d = 5 }

local function refuse(value)
  errors.raise("config", {
    message = ("bad duration: %q is not a span of time"):format(tostring(value)),
    hint = 'write a number of seconds, or "250ms", "5s", "2m", "1h30m"',
  })
end

local function is_span(n)
  return n == n and n >= 0 and n < math.huge
end

---Seconds of a number or of text such as "250ms", "1h30m", "1.5s". Raises `config` on anything else.
---@param value string|number
---@return number
function M.parse(value)
  if type(value) == "number" then return is_span(value) and value or refuse(value) end
  if type(value) ~= "string" then refuse(value) end
  local text = value:match("^%s*(.-)%s*$")
  if text:find("^%d+%.?%d*$") then return tonumber(text) end
  local total, at, last = 0, 1, 6
  while at <= #text do
    local number, unit, next_at = text:match("^(%d+%.?%d*)%s*(%a+)%s*()", at)
    if not number or not UNITS[unit] or ORDER[unit] >= last then refuse(value) end
    total, at, last = total + tonumber(number) * UNITS[unit], next_at, ORDER[unit]
  end
  if last == 6 then refuse(value) end
  return total
end

---@param seconds number
---@return string
function M.format(seconds)
  if seconds < 0 then return "-" .. M.format(-seconds) end
  local ms = math.floor(seconds * 1000 + 0.5)
  if ms < 1000 then return ("%d ms"):format(ms) end
  if seconds < 59.995 then return ("%.2f s"):format(seconds) end
  local whole = math.floor(seconds + 0.5)
  if whole < 3600 then return ("%d m %02d s"):format(whole // 60, whole % 60) end
  return ("%d h %02d m"):format(whole // 3600, whole % 3600 // 60)
end

return M
