---Journal entries against tracking rows: what each one is. Decided per entry, never by a high-water mark.
local M = {}

---@class migrator.Classified
---@field entry migrator.Entry
---@field state "applied"|"moved"|"edited"|"stranded"|"pending"|"baseline"
---@field row migrator.Row|nil

local SHA256 = "^" .. ("%x"):rep(64) .. "$"

local function take(index, key, used)
  for _, row in ipairs(index[key] or {}) do
    if not used[row] then
      used[row] = true
      return row
    end
  end
end

local function index_by(rows, first, make_key)
  local index = {}
  for i = first, #rows do
    local key = make_key(rows[i])
    if key then
      index[key] = index[key] or {}
      table.insert(index[key], rows[i])
    end
  end
  return index
end

-- The common case: row after row, the table has what the journal has.
local function match_prefix(entries, rows, items)
  local same = 0
  for i, entry in ipairs(entries) do
    local row = rows[i]
    if not row or row.created_at ~= entry.when or row.hash ~= entry.hash then break end
    items[i] = { state = "applied", entry = entry, row = row }
    same = i
  end
  return same
end

---Exact matches first, then the same hash under another `when`, then the same `when` with another hash: a row explains one
---entry only, and the better match gets it. The rows up to `same` are taken.
local function match_rest(entries, rows, items, same)
  local used = {}
  if same == #rows then return used end
  local exact = index_by(rows, same + 1, function(row) return row.created_at and row.hash .. ":" .. row.created_at end)
  local by_hash = index_by(rows, same + 1, function(row) return row.hash end)
  local by_when = index_by(rows, same + 1, function(row) return row.created_at end)
  local function pass(index, make_key, state)
    for i = same + 1, #entries do
      local entry = entries[i]
      local row = not items[i] and take(index, make_key(entry), used)
      if row then items[i] = { state = state(row), entry = entry, row = row } end
    end
  end
  pass(exact, function(entry) return entry.hash .. ":" .. entry.when end, function() return "applied" end)
  pass(by_hash, function(entry) return entry.hash end, function() return "moved" end)
  pass(by_when, function(entry) return entry.when end,
    function(row) return row.hash:match(SHA256) and "edited" or "baseline" end)
  return used
end

local function leftovers(entries, rows, same, used)
  local missing, duplicates, hashes = {}, {}, nil
  for i = same + 1, #rows do
    local row = rows[i]
    if not used[row] then
      if not hashes then
        hashes = {}
        for _, entry in ipairs(entries) do hashes[entry.hash] = entry end
      end
      local entry = hashes[row.hash]
      if entry then
        duplicates[#duplicates + 1] = { row = row, entry = entry }
      else
        missing[#missing + 1] = row
      end
    end
  end
  return missing, duplicates
end

---@param entries migrator.Entry[]
---@param rows migrator.Row[]
---@return { items: migrator.Classified[], missing: migrator.Row[], duplicates: table[], counts: table<string, integer> }
function M.run(entries, rows)
  local items = {}
  local same = match_prefix(entries, rows, items)
  local used = match_rest(entries, rows, items, same)
  local newest
  for _, row in ipairs(rows) do
    local at = row.created_at
    if at and (not newest or at > newest) then newest = at end
  end
  local counts = { applied = same, moved = 0, edited = 0, stranded = 0, pending = 0, baseline = 0 }
  for i = same + 1, #entries do
    local entry = entries[i]
    local item = items[i] or { state = newest and entry.when <= newest and "stranded" or "pending", entry = entry }
    items[i] = item
    counts[item.state] = counts[item.state] + 1
  end
  local missing, duplicates = leftovers(entries, rows, same, used)
  return { items = items, missing = missing, duplicates = duplicates, counts = counts, newest = newest }
end

return M
