---A Plan as what people and programs read of it: every statement, where it stands, what it locks, what it takes away.
---Pure.
local array = require("migrator.sink").array
local destructive = require "migrator.plan.destructive"
local locks = require "migrator.plan.locks"
local tree = require "migrator.plan.tree"

local M = {}

local UNREADABLE = "not readable by the PostgreSQL 15 parser; the server decides"

---@param entry migrator.Entry
---@param statement migrator.Statement
---@param see fun(kind: string|nil, node: table|string, shown: table)
local function describe_statement(entry, statement, see)
  local kind, node = tree.parse(statement.text)
  local out = { file = entry.path, line = statement.line, text = statement.text, destructive = array {},
    locks = array(locks.of(kind, node)) }
  local strongest
  for _, lock in ipairs(out.locks) do
    if not strongest or not locks.covers(strongest.mode, lock.mode) then strongest = lock end
  end
  out.lock = strongest and { mode = strongest.mode, object = strongest.object } or nil
  out.kind = statement.kind ~= "plain" and statement.kind or nil
  out.unreadable = not kind and UNREADABLE .. " (" .. tostring(node) .. ")" or nil
  for i, found in ipairs(destructive.find(statement, kind, node)) do out.destructive[i] = found end
  see(kind, node, out)
  return out
end

local function describe_migration(item, totals, segment)
  local entry, watcher = item.entry, destructive.rename_watcher()
  local out = { tag = entry.tag, file = entry.path, hash = entry.hash, when = entry.when, statements = array {} }
  local allow = item.headers and item.headers.allow
  local function see(kind, node, shown)
    watcher.see(kind, node)
    table.insert(totals.seen, { file = entry.path, line = shown.line, kind = kind, node = node, segment = segment,
      allow = allow, shown = shown })
  end
  local done = item.done or 0
  for i, statement in ipairs(item.statements) do
    local shown = i > done and describe_statement(entry, statement, see)
      or { file = entry.path, line = statement.line, text = statement.text, done = true, destructive = array {},
        locks = array {} }
    out.statements[i] = shown
    totals.destructive = totals.destructive + #shown.destructive
  end
  out.destructive = array(watcher.finish())
  out.headers = item.headers and #item.headers.words > 0 and array(item.headers.words) or nil
  totals.statements = totals.statements + #out.statements - done
  totals.destructive = totals.destructive + #out.destructive
  return out
end

---@param plan migrator.Plan with its statements kept
---@return { segments: table[], statements: integer, destructive: integer, seen: migrator.Seen[] }
function M.run(plan)
  local totals = { statements = 0, destructive = 0, segments = array {}, seen = {} }
  for number, segment in ipairs(plan.segments) do
    local out = { number = number, kind = segment.kind, reason = segment.reason, locks = segment.locks,
      migrations = array {} }
    for i, item in ipairs(segment.items) do out.migrations[i] = describe_migration(item, totals, segment) end
    totals.segments[number] = out
  end
  return totals
end

return M
