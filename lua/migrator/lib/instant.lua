-- Dates of the protocols as seconds since 1970, without the machine's time zone.
local M = {}

local MONTHS = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11,
  Dec = 12 }

-- Days since 1970-01-01 of a date of the Gregorian calendar; the year begins in March, so that a leap day is its last.
local function days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local of_era = year - era * 400
  local of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

local function seconds(year, month, day, hour, minute, second)
  return days(math.tointeger(year), math.tointeger(month), math.tointeger(day)) * 86400 + math.tointeger(hour) * 3600
    + math.tointeger(minute) * 60 + math.tointeger(second)
end

---"2026-11-21T09:00:00.123Z"
---@param text any
---@return integer?
function M.rfc3339(text)
  if type(text) ~= "string" then return nil end
  local y, mo, d, h, mi, s, zone = text:match("^(%d%d%d%d)-(%d%d)-(%d%d)[Tt](%d%d):(%d%d):(%d%d)%.?%d*(.+)$")
  if not y then return nil end
  local at = seconds(y, mo, d, h, mi, s)
  if zone == "Z" or zone == "z" then return at end
  local sign, zh, zm = zone:match("^([+-])(%d%d):(%d%d)$")
  if not sign then return nil end
  return at - (sign == "-" and -1 or 1) * (math.tointeger(zh) * 3600 + math.tointeger(zm) * 60)
end

---"Sat, 21 Nov 2026 09:00:00 GMT", as the header `Date` has it.
---@param text any
---@return integer?
function M.http(text)
  if type(text) ~= "string" then return nil end
  local d, name, y, h, mi, s = text:match("^%a+, (%d%d?) (%a+) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  if not d or not MONTHS[name] then return nil end
  return seconds(y, MONTHS[name], d, h, mi, s)
end

return M
