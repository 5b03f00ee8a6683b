---JSON texts as values: whole numbers are integers.
local cjson = require "cjson"

local M = {}

local EXACT = 2.0 ^ 53 -- what lies beyond went through a float and may have lost digits

local function whole(value)
  if type(value) == "table" then
    for key, item in pairs(value) do
      local kind = type(item)
      if kind == "number" or kind == "table" then value[key] = whole(item) end
    end
  elseif math.type(value) == "float" and value >= -EXACT and value <= EXACT then
    return math.tointeger(value) or value
  end
  return value
end

---@param text string
---@return any
function M.decode(text) return whole(cjson.decode(text)) end

return M
