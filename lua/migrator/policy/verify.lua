---What counts as verified: facts in, findings out. A policy is a function; these are the ready-made ones.
local M = {}

---@class migrator.VerifyFinding
---@field rule string
---@field severity "error"|"warning"|"info"
---@field object? string
---@field expected? any
---@field actual? any
---@field message string

local SHA256 = "^" .. ("%x"):rep(64) .. "$"

local function short(hash) return hash:match(SHA256) and hash:sub(1, 12) .. "…" or ("%q"):format(hash) end

local function row_name(row)
  return ("row %d (hash %s, created_at %s)"):format(row.id, short(row.hash), row.created_at and tostring(row.created_at)
    or "NULL")
end

local function adder(findings)
  return function(rule, severity, object, expected, actual, message)
    findings[#findings + 1] = { rule = rule, severity = severity, object = object, expected = expected, actual = actual,
      message = message }
  end
end

---The number of rows is the number of entries.
---@param facts migrator.VerifyFacts
---@return migrator.VerifyFinding[]
function M.count(facts)
  local findings, rows, entries = {}, #facts.rows, #facts.entries
  local add = adder(findings)
  if rows > entries then
    add("count", "error", facts.table, entries, rows,
      ("Database has %d migrations but local journal only has %d"):format(rows, entries))
  elseif rows < entries then
    add("count", "error", facts.table, entries, rows,
      ("Migration count mismatch: database has %d but expected %d"):format(rows, entries))
  end
  return findings
end

local function index_by(rows, key_of)
  local index = {}
  for _, row in ipairs(rows) do
    local key = key_of(row)
    if key then
      index[key] = index[key] or {}
      table.insert(index[key], row)
    end
  end
  return index
end

---Pairs entries and rows: the same hash and `when` first, then the same hash, then the same `when`. Each row is used
---once.
---@return table<table, { row: table, by: string }> found, table<table, boolean> used
local function pair(facts)
  local found, used = {}, {}
  local passes = {
    { "both", function(row) return row.created_at and row.hash .. ":" .. row.created_at end,
      function(entry) return entry.hash .. ":" .. entry.when end },
    { "hash", function(row) return row.hash end, function(entry) return entry.hash end },
    { "when", function(row) return row.created_at end, function(entry) return entry.when end },
  }
  for _, pass in ipairs(passes) do
    local index = index_by(facts.rows, pass[2])
    for _, entry in ipairs(facts.entries) do
      for _, row in ipairs(not found[entry] and index[pass[3](entry)] or {}) do
        if not used[row] then
          found[entry], used[row] = { row = row, by = pass[1] }, true
          break
        end
      end
    end
  end
  return found, used
end

local function check_set(facts, add, found, used)
  local known = {}
  for _, entry in ipairs(facts.entries) do
    known[entry.hash] = entry
    if not found[entry] then
      add("not-applied", "error", entry.tag, entry.hash, nil, ("%s is not recorded in the database"):format(entry.tag))
    end
  end
  for _, row in ipairs(facts.rows) do
    local entry = known[row.hash]
    if not used[row] and entry then
      add("duplicate-row", "error", entry.tag, 1, 2, ("%s is recorded twice: %s"):format(entry.tag, row_name(row)))
    elseif not used[row] then
      add("unknown-row", "error", tostring(row.id), nil, row.hash,
        ("no journal entry explains %s"):format(row_name(row)))
    end
  end
end

---Every entry is in the table and every row in the journal, whatever their hashes.
---@param facts migrator.VerifyFacts
---@return migrator.VerifyFinding[]
function M.set(facts)
  local findings = M.count(facts)
  check_set(facts, adder(findings), pair(facts))
  return findings
end

local function check_hash(facts, add, entry, row)
  if not row.hash:match(SHA256) then
    add("recorded-by-hand", "warning", entry.tag, entry.hash, row.hash,
      ("%s was recorded by hand: its hash is %s"):format(entry.tag, short(row.hash)))
  elseif entry.other_endings and entry.other_endings[row.hash] then
    add("line-endings", "warning", entry.tag, entry.hash, row.hash,
      ("%s differs from what was applied in its line endings only"):format(entry.path))
  else
    add("hash", facts.allow.edited and "warning" or "error", entry.tag, entry.hash, row.hash,
      ("%s is not what was applied: its hash is %s, the database has %s"):format(entry.path, short(entry.hash),
        short(row.hash)))
  end
end

---The order in which the rows were written is the journal's. A warning: `order = "non-linear"` and `migrator
---baseline` make such rows on purpose, and no later run could mend them.
local function check_order(facts, add, found)
  local entry_of = {}
  for entry, match in pairs(found) do entry_of[match.row] = entry end
  local before
  for _, row in ipairs(facts.rows) do
    local entry = entry_of[row]
    if not row.created_at then
      add("no-date", "warning", tostring(row.id), entry and entry.when, nil,
        ("%s has no created_at: Drizzle would run everything again"):format(row_name(row)))
    end
    if entry and before and entry.position < before.position then
      add("order", "warning", entry.tag, before.tag, entry.tag,
        ("%s was applied after %s, which stands behind it in the journal"):format(entry.tag, before.tag))
    elseif entry then
      before = entry
    end
  end
end

local function check_schema(facts, add)
  for _, index in ipairs(facts.invalid_indexes) do
    if index.building then
      add("invalid-index", "warning", index.name, "valid", "being built",
        ("the index %s is being built right now"):format(index.name))
    else
      add("invalid-index", "error", index.name, "valid", "invalid",
        ("the index %s on %s is INVALID: drop it and create it again"):format(index.name, index.table))
    end
  end
  for _, constraint in ipairs(facts.not_validated) do
    add("not-validated", "warning", constraint.name, "validated", "not valid",
      ("the constraint %s on %s is NOT VALID: ALTER TABLE %s VALIDATE CONSTRAINT %s"):format(constraint.name,
        constraint.table,
        constraint.table, constraint.name))
  end
end

---The set, the hashes, no row twice, no INVALID index; the order and constraints that are NOT VALID are warned of,
---and so is an edited file where the project allows it (edited = "allow").
---@param facts migrator.VerifyFacts
---@return migrator.VerifyFinding[]
function M.strict(facts)
  local findings = M.count(facts)
  local add = adder(findings)
  local found, used = pair(facts)
  check_set(facts, add, found, used)
  for _, entry in ipairs(facts.entries) do
    local match = found[entry]
    if match and match.by == "when" then check_hash(facts, add, entry, match.row) end
    if match and match.by == "hash" and match.row.created_at then
      add("moved", "warning", entry.tag, entry.when, match.row.created_at,
        ("%s is recorded as created_at %d; the journal says %d"):format(entry.tag, match.row.created_at, entry.when))
    end
  end
  check_order(facts, add, found)
  check_schema(facts, add)
  return findings
end

return M
