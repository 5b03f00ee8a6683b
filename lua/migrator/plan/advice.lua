---What is said of a danger: what happens, how large the table is, and the safe way. Pure.
local M = {}

-- From here on a build, a rewrite or a scan takes longer than others like to wait.
local MANY_ROWS = 100000
local MIB = 1024 * 1024
local MANY_BYTES = 100 * MIB
local MOST = 3 -- of one rule in a statement

local EFFECTS = {
  ["create-index-blocks-writes"] = "whoever writes to the table waits until it is built",
  ["add-column-not-null"] = "fails when there is a row",
  rewrite = "every row is written anew, and nobody reads or writes the table meanwhile",
  ["scan-under-lock"] = "every row is checked under a lock that others wait for",
  ["unique-builds-index"] = "its index is built while nobody reads or writes the table",
  ["validate-in-same-transaction"] = "the lock of ADD CONSTRAINT is held while every row is checked",
  ["ddl-with-bulk-update"] = "nobody gets past that lock until all of it is committed",
}

M.RULES = {}
for rule in pairs(EFFECTS) do M.RULES[#M.RULES + 1] = rule end
table.sort(M.RULES)

local ISOLATE = "in a later file headed `-- migrator: isolate`"

local HINTS = {
  index = "CREATE INDEX CONCURRENTLY, best in a file of its own: it runs outside of a transaction, and what a failed "
    .. "build leaves is cleaned up",
  index_partitioned = "build it CONCURRENTLY on each partition first; CREATE INDEX on the parent then takes those over",
  not_null = "give it a constant DEFAULT, which rewrites nothing; or add it without NOT NULL, fill it, then SET NOT "
    .. "NULL",
  type = "add a column of the new type, keep both written, fill the old rows in batches, then change over",
  volatile = "add the column without a default, then SET DEFAULT for new rows, and fill the old ones in batches",
  numbered = "add a plain column, SET DEFAULT nextval(…) for new rows, and number the old ones in batches",
  generated = "add a plain column, let a trigger write it, and fill the old rows in batches; or compute it in a view",
  window = "keep it for a quiet hour, or use a tool that copies the table while it is in use",
  constraint = "add it NOT VALID, and VALIDATE CONSTRAINT " .. ISOLATE .. ": that lets others write",
  set_not_null = "add CHECK (… IS NOT NULL) NOT VALID; " .. ISOLATE .. " VALIDATE it, then SET NOT NULL, which then "
    .. "reads nothing, and drop the CHECK",
  unique = "CREATE UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD CONSTRAINT … UNIQUE USING INDEX",
  primary = "make the columns NOT NULL, CREATE UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD CONSTRAINT … "
    .. "PRIMARY KEY USING INDEX",
  exclusion = "there is no way to build it beside writers: keep it for a quiet hour",
  validate = "move VALIDATE CONSTRAINT " .. ISOLATE:gsub("^in", "into"),
  bulk = "change the rows " .. ISOLATE .. ", in batches when they are many",
}

---@param relation migrator.Relation|nil
function M.is_big(relation)
  return relation ~= nil and ((relation.rows or 0) > MANY_ROWS or relation.bytes > MANY_BYTES)
end

local function count_text(rows)
  if rows == 1 then return "1 row" end
  if rows >= 1e9 then return ("%.1f billion rows"):format(rows / 1e9) end
  if rows >= 1e6 then return ("%.1f M rows"):format(rows / 1e6) end
  if rows >= 1e4 then return ("%.0f k rows"):format(rows / 1e3) end
  return ("%d rows"):format(rows)
end

local function bytes_text(bytes)
  if bytes >= 1024 * MIB then return ("%.1f GiB"):format(bytes / MIB / 1024) end
  if bytes >= MIB then return ("%.0f MiB"):format(bytes / MIB) end
  return ("%.0f KiB"):format(bytes / 1024)
end

---@param name string
---@param relation migrator.Relation|nil
---@return string such as "orders has 2.1 M rows, 340 MiB"
function M.size(name, relation)
  if not relation then return ("the size of %s is not known"):format(name) end
  if not relation.filled then return name .. " is empty" end
  local bytes = bytes_text(relation.bytes)
  if not relation.rows then return ("%s has %s, its rows were never counted"):format(name, bytes) end
  return ("%s has %s, %s"):format(name, count_text(relation.rows), bytes)
end

local function join(whats)
  local shown = table.concat(whats, "; ", 1, math.min(#whats, MOST))
  return #whats > MOST and ("%s; and %d more"):format(shown, #whats - MOST) or shown
end

---@param found table what the walk of plan/danger.lua noted
---@return migrator.Danger
function M.finding(found)
  local relation, seen = found.relation.facts, found.of
  local grave = M.is_big(relation) or (found.rule == "add-column-not-null" and relation ~= nil and relation.filled)
  return { rule = found.rule, severity = grave and "warning" or "info", hint = HINTS[found.advise], file = seen.file,
    line = seen.line, of = seen,
    message = ("%s: %s; %s"):format(join(found.whats), EFFECTS[found.rule], M.size(found.relation.name, relation)) }
end

return M
