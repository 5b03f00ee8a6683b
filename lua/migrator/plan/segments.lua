---Pending migrations -> segments: what is committed together. Pure: entries in, segments out.
local enums = require "migrator.plan.enums"
local errors = require "migrator.error"
local kinds = require "migrator.plan.kinds"
local statements = require "migrator.journal.statements"

local M = {}

---@class migrator.Segment
---@field kind "transaction"|"statements"
---@field items { entry: migrator.Entry, statements?: migrator.Statement[] }[]
---@field reason string|nil why it is not part of the segment before

local REFUSED = {
  rollback = { "%s would undo the migrations before it and lose their tracking rows",
    "take the ROLLBACK out: a failing run is rolled back as a whole" },
  copy = { "%s reads rows that psql would send; a migration has nobody to send them",
    "write INSERT statements, or load the data with a seed" },
}

local function refuse(entry, statement, kind, source)
  local what = kind == "copy" and "COPY FROM STDIN" or statement.words:match("^%S+")
  local line, column = statements.locate(source, statement, 1)
  errors.raise("parse", { message = REFUSED[kind][1]:format(what), hint = REFUSED[kind][2], file = entry.path,
    line = line,
    column = column, snippet = statements.line_at(source, line), migration = entry.tag })
end

local function header(entry_statements)
  return entry_statements.source:match("^[\239\187\191%s]*%-%-%s*migrator:%s*([^\r\n]*)") or ""
end

---What one file needs: nothing special, or a segment of its own and why.
local function look(entry, procedures)
  local list = entry:statements()
  local reason
  for _, statement in ipairs(list) do
    statement.kind = kinds.of(statement, procedures)
    if REFUSED[statement.kind] then refuse(entry, statement, statement.kind, list.source) end
    if statement.kind == "outside" and not reason then
      reason = ("%s:%d %s cannot run in a transaction"):format(entry.path, statement.line,
        statement.words:match("^(.-CONCURRENTLY)") or statement.words:match("^%S+ ?%S*"))
    elseif statement.kind == "control" and statement.words:find("^[BCSE]")
      and not statement.words:find("^SAVEPOINT") then
      reason = reason or ("%s:%d has transaction control of its own (%s)"):format(entry.path, statement.line,
        statement.words:match("^%S+"))
    end
  end
  local head = header(list)
  if head:find("no%-transaction") then reason = reason or entry.path .. " asks for no transaction" end
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

local Builder = {}
Builder.__index = Builder

function Builder:open(kind, reason)
  self.current = { kind = kind, items = {}, reason = reason }
  self.watcher = enums.watcher(self.facts.server_version)
  self.segments[#self.segments + 1] = self.current
end

function Builder:add_alone(item, reason)
  self:open("statements", reason)
  self.current.items[1] = item
  self.current = nil
  self.after = "after " .. item.entry.tag .. ", which stands alone"
end

function Builder:add(item, list)
  if not self.current then self:open("transaction", self.after) end
  local index, used, statement = enum_use(self.watcher, list)
  if not index then
    self.current.items[#self.current.items + 1] = item
    return
  end
  local why = ("%s:%d uses '%s', added to the enum %s in the same run: it must be committed first"):format(
    item.entry.path, statement.line, used.value, used.type)
  local fresh = enums.watcher(self.facts.server_version)
  if enum_use(fresh, list) then -- added and used in one file: only statement by statement is left
    self:add_alone(item, why)
  else
    self:open("transaction", why)
    self.watcher = fresh
    self.current.items[1] = item
  end
end

---@param entries migrator.Entry[] in the order to apply
---@param tx "all"|"file"|"none"
---@param facts? { keep?: boolean, server_version?: integer, committing?: table<string, boolean> } keep: the statements stay in
---  the segments, for showing them; committing: procedures known to end transactions, by name
---@return migrator.Segment[]
function M.build(entries, tx, facts)
  facts = facts or {}
  local builder = setmetatable({ segments = {}, facts = facts }, Builder)
  local procedures = setmetatable({}, { __index = facts.committing })
  for _, entry in ipairs(entries) do
    local list, reason, head = look(entry, procedures)
    local item = { entry = entry, count = #list, statements = facts.keep and list or nil }
    if tx == "file" or head:find("isolate") then
      builder.current, builder.after = nil, "one transaction for each file"
    end
    if reason or tx == "none" then
      builder:add_alone(item, reason or 'tx = "none"')
    else
      builder:add(item, list)
    end
    if head:find("isolate") then builder.current = nil end
  end
  return builder.segments
end

return M
