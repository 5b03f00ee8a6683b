---Texts for people.
local M = {}

---At most so many bytes of a text, whole characters, with an ellipsis where something was left out.
---@param text string
---@param most integer
---@param ellipsis? string "…"
---@return string
function M.cut(text, most, ellipsis)
  if #text <= most then return text end
  while most > 0 and text:find("^[\128-\191]", most + 1) do most = most - 1 end
  return text:sub(1, most) .. (ellipsis or "…")
end

return M
