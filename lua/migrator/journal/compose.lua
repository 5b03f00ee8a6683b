---What a new migration is called and when it was: pure, from the journal, the folder's names and the clock.
local errors = require "migrator.error"

local M = {}

local LONGEST = 120

---Words -> what can stand in a tag.
---@param words string
---@return string
function M.slug(words)
  local slug = words:lower():gsub("[^%w_%-]+", "_"):gsub("^[_%-]+", ""):gsub("[_%-]+$", "")
  if slug == "" then
    errors.raise("usage", { message = ("%q leaves no name: letters and digits are needed"):format(words),
      hint = "migrator new add_orders" })
  end
  if #slug > LONGEST then
    errors.raise("usage", ("the name is %d characters long, %d are allowed"):format(#slug, LONGEST))
  end
  return slug
end

---The style of the numbers before the names, told from the newest tag that has one.
---@param tags string[]
---@return "index"|"timestamp"|"unix"|"none"
function M.style(tags)
  for i = #tags, 1, -1 do
    local digits = tags[i]:match("^(%d+)_")
    if digits then return #digits == 14 and "timestamp" or #digits == 10 and "unix" or "index" end
  end
  return #tags > 0 and "none" or "index"
end

local function next_index(idx, names)
  for _, name in ipairs(names) do
    local digits = name:match("^(%d+)_")
    if digits and #digits < 10 then idx = math.max(idx, math.tointeger(tonumber(digits)) + 1) end
  end
  return ("%04d_"):format(idx)
end

---@param entries { idx: integer, tag: string, when: integer }[]
---@param names string[] tags and names of files that are taken
---@param words string
---@param now integer milliseconds
---@return { idx: integer, tag: string, when: integer }
function M.next(entries, names, words, now)
  local idx, when, tags = 0, now, {}
  for i, entry in ipairs(entries) do
    idx, when, tags[i] = math.max(idx, entry.idx + 1), math.max(when, entry.when + 1), entry.tag
  end
  local style = M.style(tags)
  local prefix = ""
  if style == "timestamp" then prefix = os.date("!%Y%m%d%H%M%S_", now // 1000) end
  if style == "unix" then prefix = ("%d_"):format(now // 1000) end
  if style == "index" then prefix = next_index(idx, names) end
  return { idx = idx, tag = prefix .. M.slug(words), when = when }
end

return M
