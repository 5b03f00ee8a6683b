---Options of a step: known names and types only, so that a typo is an error before anything runs.
local duration = require "migrator.lib.duration"
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

local M = {}

---@param step string
---@param given table
---@param known table<string, string> name -> types, "duration", "pause" (one above 0), "port", or "any"; a `!` behind it:
---  required
---@return table
function M.check(step, given, known)
  local out, names = {}, {}
  if given ~= nil and type(given) ~= "table" then
    errors.raise("script", { message = ("steps.%s takes a table of options"):format(step), step = step })
  end
  for name in pairs(known) do names[#names + 1] = name end
  for name, value in pairs(given or {}) do
    local wants = known[name]
    if not wants then
      errors.raise("script", { message = ("steps.%s has no option %q"):format(step, tostring(name)), step = step,
        hint = suggest.hint(tostring(name), names) })
    end
    wants = wants:gsub("!", "")
    if wants == "duration" or wants == "pause" then
      local ok, seconds = pcall(duration.parse, value)
      if not ok or wants == "pause" and seconds <= 0 then
        errors.raise("script", { message = ("steps.%s: %s wants a time such as \"5s\", got %s"):format(step, name,
          tostring(value)), step = step })
      end
      value = seconds
    elseif wants == "port" then
      local port = math.type(value) and math.tointeger(value)
      if not port or port < 1 or port > 65535 then
        errors.raise("script", { message = ("steps.%s: %s wants a port from 1 to 65535, got %s"):format(step, name,
          tostring(value)), step = step })
      end
      value = port
    elseif wants ~= "any" and not (" " .. wants .. " "):find(" " .. type(value) .. " ", 1, true) then
      errors.raise("script", { message = ("steps.%s: %s wants a %s, got a %s"):format(step, name,
        wants:gsub(" ", " or "),
        type(value)), step = step })
    end
    out[name] = value
  end
  for name, wants in pairs(known) do
    if wants:find("!", 1, true) and out[name] == nil then
      errors.raise("script", { message = ("steps.%s needs the option %q"):format(step, name), step = step })
    end
  end
  return out
end

return M
