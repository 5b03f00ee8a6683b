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

local function index_by(rows, make_key)
  local index = {}
  for _, row in ipairs(rows) do
    local key = make_key(row)
    if key then
      index[key] = index[key] or {}
      table.insert(index[key], row)
    end
  end
  return index
end

---Exact matches first, then the same hash under another `when`, then the same `when` with another hash: a row explains one
---entry only, and the better match gets it.
local function match(entries, rows)
  local used, found = {}, {}
  local same = 0 -- the common case: row after row, the table has what the journal has
  while entries[same + 1] and rows[same + 1] and rows[same + 1].hash == entries[same + 1].hash
    and rows[same + 1].created_at == entries[same + 1].when do
    same = same + 1
    found[same] = { state = "applied", row = rows[same] }
    used[rows[same]] = true
  end
  if same == #rows then return found, used end
  local exact = index_by(rows, function(row) return row.created_at and row.hash .. ":" .. row.created_at end)
  local by_hash = index_by(rows, function(row) return row.hash end)
  local by_when = index_by(rows, function(row) return row.created_at end)
  for i, entry in ipairs(entries) do
    local row = not found[i] and take(exact, entry.hash .. ":" .. entry.when, used)
    if row then found[i] = { state = "applied", row = row } end
  end
  for i, entry in ipairs(entries) do
    local row = not found[i] and take(by_hash, entry.hash, used)
    if row then found[i] = { state = "moved", row = row } end
  end
  for i, entry in ipairs(entries) do
    local row = not found[i] and take(by_when, entry.when, used)
    if row then found[i] = { state = row.hash:match(SHA256) and "edited" or "baseline", row = row } end
  end
  return found, used
end

local function leftovers(rows, used, entries)
  local hashes = {}
  for _, entry in ipairs(entries) do hashes[entry.hash] = entry end
  local missing, duplicates = {}, {}
  for _, row in ipairs(rows) do
    if not used[row] then
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
  local found, used = match(entries, rows)
  local newest
  for _, row in ipairs(rows) do
    if row.created_at and (not newest or row.created_at > newest) then newest = row.created_at end
  end
  local items = {}
  local counts = { applied = 0, moved = 0, edited = 0, stranded = 0, pending = 0, baseline = 0 }
  for i, entry in ipairs(entries) do
    local item = found[i] or { state = newest and entry.when <= newest and "stranded" or "pending" }
    item.entry = entry
    items[i] = item
    counts[item.state] = counts[item.state] + 1
  end
  local missing, duplicates = leftovers(rows, used, entries)
  return { items = items, missing = missing, duplicates = duplicates, counts = counts, newest = newest }
end

return M
