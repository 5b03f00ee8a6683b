-- "Did you mean": the nearest known word.
local M = {}

---The number of insertions, deletions, replacements and swaps of neighbours between two words.
---@param a string
---@param b string
---@return integer
function M.distance(a, b)
  local before, older = {}, {}
  for j = 0, #b do before[j] = j end
  for i = 1, #a do
    local current = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(before[j] + 1, current[j - 1] + 1, before[j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, older[j - 2] + 1)
      end
      current[j] = best
    end
    older, before = before, current
  end
  return before[#b]
end

---The word of the list that is nearest, or nil when none is near: two slips, three in words of eight letters and more,
---one in words of three and less.
---@param word string
---@param list string[]
---@return string?
function M.nearest(word, list)
  local limit = (#word >= 8 and 3) or (#word > 3 and 2) or 1
  local best, best_distance
  for _, candidate in ipairs(list) do
    if math.abs(#candidate - #word) <= limit then
      local distance = M.distance(word:lower(), candidate:lower())
      if distance <= limit and (not best or distance < best_distance) then
        best, best_distance = candidate, distance
      end
    end
  end
  return best
end

---The sentence for a hint, or nil.
---@param word string
---@param list string[]
---@return string?
function M.hint(word, list)
  local near = M.nearest(word, list)
  return near and ("did you mean %q?"):format(near) or nil
end

return M
