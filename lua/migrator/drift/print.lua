---Drift for people: a line for each difference, and of one that differs both texts.
local cut = require("migrator.lib.text").cut

local M = {}

local COLOR = { missing = "red", extra = "yellow", differs = "cyan" }
local WIDEST = 200 -- bytes of a definition

local function lines_of(text)
  local out = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do out[#out + 1] = line end
  return out
end

---Of long texts the first lines that differ; --json has the whole.
local function narrow(expected, actual)
  local one, two = lines_of(expected), lines_of(actual)
  if #one == 1 and #two == 1 then return expected, actual end
  local at = 1
  while one[at] == two[at] do at = at + 1 end
  local function pick(list)
    return ("line %d: %s"):format(at, list[at] and list[at]:match("^%s*(.-)%s*$") or "(none)")
  end
  return pick(one), pick(two)
end

---@param sink migrator.Sink
---@param drift migrator.Drift
function M.differences(sink, drift)
  local widest = 0
  for _, item in ipairs(drift.differences) do widest = math.max(widest, #item.kind) end
  for _, item in ipairs(drift.differences) do
    sink:line(("%s  %-" .. widest .. "s  %s"):format(sink:paint("stdout", COLOR[item.what], ("%-7s"):format(item.what)),
      item.kind, item.name))
    if item.what == "differs" then
      local expected, actual = narrow(item.expected, item.actual)
      sink:line("         expected: " .. cut(expected, WIDEST))
      sink:line("         database: " .. cut(actual, WIDEST))
    end
  end
end

---@param drift migrator.Drift
---@return string
function M.verdict(drift)
  return ("Drift: none; %d objects of %s are what its %d migration(s) imply%s."):format(drift.compared,
    drift.server.database, drift.applied, drift.pending > 0 and (" (%d more pending)"):format(drift.pending) or "")
end

return M
