---Tables as values.
local M = {}

---A new table with what all of them hold; the later ones count.
---@param ... table
---@return table
function M.join(...)
  local out = {}
  for _, part in ipairs { ... } do
    for key, value in pairs(part) do out[key] = value end
  end
  return out
end

return M
