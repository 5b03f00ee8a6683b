---Pending migrations -> segments: what is committed together. Pure: entries in, segments out.
local capacity = require "migrator.plan.capacity"
local enums = require "migrator.plan.enums"
local errors = require "migrator.error"
local headers = require "migrator.plan.headers"
local kinds = require "migrator.plan.kinds"
local statements = require "migrator.journal.statements"

local M = {}

---@class migrator.Segment
---@field kind "transaction"|"statements"
---@field items migrator.SegmentItem[]
---@field reason string|nil why it is not part of the segment before
---@field locks integer|nil of a transaction: the entries of the lock table that it takes, about

---@class migrator.SegmentItem
---@field entry migrator.Entry
---@field count integer its statements
---@field statements? migrator.Statement[] those of a short run, or when they were asked for
---@field headers migrator.Headers
---@field kinds? migrator.Kind[] of its statements, when it stands alone
---@field late? integer line of a header below the first statement
---@field done? integer its first statements, which an earlier run has done

local REFUSED = {
  rollback = { "%s would undo the migrations before it and lose their tracking rows",
    "take the ROLLBACK out: a failing run is rolled back as a whole" },
  copy = { "%s reads rows that psql would send; a migration has nobody to send them",
    "write INSERT statements, or load the data with a seed" },
  copy_out = { "%s gives rows to psql; a migration has nobody to take them", "take it out, or write into a table" },
}

local function refuse(entry, statement, kind, source)
  local line, column = statements.locate(source, statement, 1)
  errors.raise("parse", { message = REFUSED[kind][1]:format(kinds.title(statement)), hint = REFUSED[kind][2],
    file = entry.path, line = line, column = column, snippet = statements.line_at(source, line),
    migration = entry.tag })
end

local function why_outside(statement)
  local words = statement.words
  return words:match("^(.-CONCURRENTLY)") or kinds.skeleton(statement.text):find("CONCURRENTLY", 1, true)
    and words:match("^%S+ ?%S*") .. " … CONCURRENTLY" or words:match("^%S+ ?%S*")
end

local function reason_of(entry, statement)
  if statement.kind == "outside" then
    return ("%s:%d %s cannot run in a transaction"):format(entry.path, statement.line, why_outside(statement))
  elseif statement.kind == "control" and statement.words:find("^[BCSE]")
    and not statement.words:find("^SAVEPOINT") then
    return ("%s:%d has transaction control of its own (%s)"):format(entry.path, statement.line,
      statement.words:match("^%S+"))
  end
end

---What one file needs: nothing special, or a segment of its own and why.
local function look(entry, known)
  local list = entry:statements()
  local reason
  for _, statement in ipairs(list) do
    statement.kind = kinds.of(statement, known.procedures, known.partitioned)
    if REFUSED[statement.kind] then refuse(entry, statement, statement.kind, list.source) end
    reason = reason or reason_of(entry, statement)
  end
  local head = headers.read(entry, list)
  if head.no_transaction then reason = reason or entry.path .. " asks for no transaction" end
  return list, reason, head
end

---The first statement that uses an enum value added since the transaction began, and the value.
local function enum_use(watcher, list)
  for index, statement in ipairs(list) do
    local used = enums.find_use(watcher, statement)
    if used then return index, used, statement end
    enums.see(watcher, statement)
  end
end

-- Statements are kept for applying them, lest they be read again, as long as they take about so much memory.
local KEPT, EACH = 6 << 20, 300

local Builder = {}
Builder.__index = Builder

function Builder:keep(list)
  self.kept = self.kept + #list.source + EACH * #list
  return (self.facts.keep or self.kept <= KEPT) and list or nil
end

function Builder:open(kind, reason)
  self.current = { kind = kind, items = {}, reason = reason }
  self.watcher = enums.watcher(self.facts.server_version)
  self.counter = capacity.counter()
  self.segments[#self.segments + 1] = self.current
end

function Builder:close(after) self.current, self.after = nil, after end

function Builder:add_alone(item, reason)
  self:open("statements", reason)
  self.current.items[1] = item
  self:close("after " .. item.entry.tag .. ", which stands alone")
end

local WAY_OUT = "raise max_locks_per_transaction to %d and restart the server, split the file, or head it with "
  .. "`-- migrator: no-transaction`"

---A file that fits into no lock table, even alone. What is merely more than our share of it may well fit.
local function check_alone(segment, item, lock_table)
  if segment.locks <= lock_table.capacity then return end
  local entry = item.entry
  errors.raise("config",
    { message = ("%s alone takes about %d locks, and the server's lock table has room for about %d "
    .. "(max_locks_per_transaction = %d)"):format(entry.tag, segment.locks, lock_table.capacity,
    lock_table.per_transaction), hint = WAY_OUT:format(capacity.setting_for(lock_table, segment.locks)),
    file = entry.path, migration = entry.tag, state = "nothing was changed" })
end

---Counts the locks of a file into the open segment; false when they are more than the run may take.
function Builder:count(list)
  for _, statement in ipairs(list) do self.counter:see(statement) end
  return self.counter.total <= self.facts.lock_table.budget
end

---Puts the file into the open transaction, or into a new one where the server's lock table would not hold both.
function Builder:put(item, list)
  local lock_table = self.facts.lock_table
  if lock_table and not self:count(list) and #self.current.items > 0 then
    self:open("transaction", ("%s: the locks of more would not fit into the server's lock table "
      .. "(max_locks_per_transaction = %d"):format(item.entry.path, lock_table.per_transaction))
    self.current.split = true
    self:count(list)
    enum_use(self.watcher, list)
  end
  if lock_table then
    self.current.locks = self.counter.total
    check_alone(self.current, item, lock_table)
  end
  self.current.items[#self.current.items + 1] = item
end

function Builder:add(item, list)
  if not self.current then self:open("transaction", self.after) end
  local index, used, statement = enum_use(self.watcher, list)
  if not index then return self:put(item, list) end
  local why = ("%s:%d uses '%s', added to the enum %s in the same run: it must be committed first"):format(
    item.entry.path, statement.line, used.value, used.type)
  local fresh = enums.watcher(self.facts.server_version)
  if enum_use(fresh, list) then -- added and used in one file: only statement by statement is left
    self:add_alone(item, why)
  else
    self:open("transaction", why)
    self.watcher = fresh
    self:put(item, list)
  end
end

local function kinds_of(list)
  local out = {}
  for i, statement in ipairs(list) do out[i] = statement.kind end
  return out
end

---Puts one file where it belongs.
function Builder:take(entry, tx, known)
  local list, reason, head = look(entry, known)
  local item = { entry = entry, count = #list, statements = self:keep(list), headers = head,
    late = headers.find_late(list) }
  local done = self.facts.part_way and self.facts.part_way[entry.tag]
  if done then item.done, reason = done, reason or entry.path .. " stopped part way" end
  if tx == "file" then self:close("one transaction for each file") end
  if reason or tx == "none" then
    item.kinds = kinds_of(list)
    return self:add_alone(item, reason or 'tx = "none"')
  end
  if head.isolate and self.current then self:close(entry.path .. " asks for a transaction of its own") end
  self:add(item, list)
  if head.isolate then self:close("after " .. entry.tag .. ", which asks for a transaction of its own") end
end

---Ends the reasons of such splits with the setting by which there would be none.
function Builder:finish()
  local total = 0
  for _, segment in ipairs(self.segments) do total = total + (segment.locks or 0) end
  for _, segment in ipairs(self.segments) do
    if segment.split then
      segment.reason = ("%s; %d would hold them all)"):format(segment.reason,
        capacity.setting_for(self.facts.lock_table, total))
    end
  end
  return self.segments
end

local function knowledge(names) return setmetatable({}, { __index = names }) end

---@class migrator.PlanFacts
---@field keep? boolean all statements stay in the segments, for showing them
---@field server_version? integer
---@field committing? table<string, boolean> procedures known to end transactions, by name
---@field partitioned? table<string, boolean> partitioned tables and indexes, by name
---@field lock_table? migrator.LockTable
---@field part_way? table<string, integer> statements that are done, by tag: what was begun goes on as it was begun

---@param entries migrator.Entry[] in the order to apply
---@param tx "all"|"file"|"none"
---@param facts? migrator.PlanFacts
---@return migrator.Segment[]
function M.build(entries, tx, facts)
  facts = facts or {}
  local builder = setmetatable({ segments = {}, facts = facts, kept = 0 }, Builder)
  local known = { procedures = knowledge(facts.committing), partitioned = knowledge(facts.partitioned) }
  for _, entry in ipairs(entries) do builder:take(entry, tx, known) end
  return builder:finish()
end

return M
