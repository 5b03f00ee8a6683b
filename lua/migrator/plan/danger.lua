---What a statement may do to a database that is in use: writers kept waiting, tables written anew, rows read under a
---lock. Statements' trees and the tables' sizes in, findings out; pure. What the run itself creates is empty and in
---nobody's way.
local advice = require "migrator.plan.advice"
local hazards = require "migrator.plan.hazards"
local locks = require "migrator.plan.locks"
local tree = require "migrator.plan.tree"

local M = {}

---The names of the rules, as `-- migrator: allow=` takes them.
M.RULES = advice.RULES

---@class migrator.Seen one statement of the run
---@field file string @field line integer
---@field kind string|nil @field node table|string of plan.tree.parse
---@field segment migrator.Segment
---@field allow? table<string, boolean> rules that its file permits

---@class migrator.Relation what the catalogue says of a table
---@field kind string relkind
---@field rows? integer an estimate; nil: never analyzed
---@field bytes integer with its indexes and TOAST
---@field filled boolean it has a page, so that there may be a row
---@field columns table<string, { type: migrator.ColumnType, not_null: boolean }>
---@field checks table<string, { columns: table<string, boolean>, valid: boolean }>

---@class migrator.DangerFacts
---@field relations table<string, migrator.Relation> by plan.tree.key
---@field volatile table<string, boolean> functions by name
---@field zone? string the session's TimeZone

---@class migrator.Danger: migrator.Finding
---@field hint string the safe way
---@field of migrator.Seen

local Run = {}
Run.__index = Run

---A table that was there before the run; nil when the run made it.
function Run:table(range)
  local name = type(range) == "string" and range or tree.relation(range)
  local key = tree.key(name)
  if self.fresh[key] then return nil end
  local first = self.renamed[key] or name
  local original = tree.key(first)
  local own = self.own[original]
  if not own then
    own = { columns = {}, checks = {} }
    self.own[original] = own
  end
  return { name = name, key = original, first = first, facts = self.facts.relations[original], own = own }
end

---Several of one rule in a statement are one finding: the table is written or read once for all of them.
function Run:add(rule, relation, what, advise)
  local seen = self.seen
  if seen.allow and seen.allow[rule] then return end
  local id = rule .. " " .. relation.key
  local known = self.of_statement[id]
  if known then
    known.whats[#known.whats + 1] = what
    return
  end
  known = { rule = rule, whats = { what }, relation = relation, of = seen, advise = advise }
  self.of_statement[id], self.found[#self.found + 1] = known, known
end

function Run:forget_transaction() self.holder, self.unvalidated = nil, {} end

---What is in one transaction with the statement: its segment, or what BEGIN and COMMIT of the file enclose.
function Run:enter(seen)
  if seen.segment ~= self.segment then
    self.segment, self.explicit = seen.segment, false
    self:forget_transaction()
  elseif seen.segment.kind ~= "transaction" and not self.explicit then
    self:forget_transaction()
  end
  if seen.kind == "TransactionStmt" and seen.segment.kind ~= "transaction" then
    local what = seen.node.kind
    if what == "TRANS_STMT_BEGIN" or what == "TRANS_STMT_START" then self.explicit = true end
    if what == "TRANS_STMT_COMMIT" or what == "TRANS_STMT_ROLLBACK" then
      self.explicit = false
      self:forget_transaction()
    end
  end
end

---The first ACCESS EXCLUSIVE of the transaction: everything behind it happens under it.
function Run:note_lock(seen)
  for _, lock in ipairs(self.holder and {} or locks.of(seen.kind, seen.node)) do
    if lock.mode == "ACCESS EXCLUSIVE" and lock.type == "table" and not self.fresh[tree.key(lock.object)] then
      self.holder = { file = seen.file, line = seen.line, object = lock.object }
      return
    end
  end
end

function Run:note_moved(range, name)
  local relation, key = self:table(range), tree.key(name)
  self.fresh[tree.key(tree.relation(range))] = nil
  self.fresh[key], self.renamed[key] = not relation or nil, relation and relation.first or nil
end

local VOLATILE = "volatile"

function Run:note_function(node)
  local name = node.funcname[#node.funcname].String.sval
  local volatility = VOLATILE
  for _, item in ipairs(node.options or {}) do
    if item.DefElem.defname == "volatility" then volatility = item.DefElem.arg.String.sval end
  end
  self.facts.volatile[name] = volatility == VOLATILE
end

---What the statement leaves behind for those after it.
function Run:note(seen)
  local kind, node = seen.kind, seen.node
  self:note_lock(seen)
  local names = tree.made(kind, node)
  if kind == "CreateFunctionStmt" then self:note_function(node) end
  if kind == "RenameStmt" or kind == "AlterObjectSchemaStmt" then
    if names[1] and node.relation then self:note_moved(node.relation, names[1]) end
    return
  end
  for _, name in ipairs(names) do
    local key = tree.key(name)
    local maybe = node.if_not_exists and self.facts.relations[key] -- then it was there, and is not made now
    if not maybe then self.fresh[key], self.renamed[key] = true, nil end
  end
end

local function walk(list, facts)
  local run = setmetatable({ facts = facts, found = {}, fresh = {}, renamed = {}, own = {}, unvalidated = {} }, Run)
  for _, seen in ipairs(list) do
    run.seen, run.of_statement = seen, {}
    run:enter(seen)
    if seen.kind then
      hazards.look(run, seen.kind, seen.node)
      run:note(seen)
    end
  end
  return run.found
end

local function recorder(out)
  local known = {}
  return setmetatable({}, { __index = function(_, name)
    if not known[name] then known[name], out[#out + 1] = true, name end
  end })
end

---What the catalogue has to be asked about before `find` can tell: the same walk, over a catalogue that is empty.
---@param list migrator.Seen[]
---@return { tables: string[], functions: string[] }
function M.needs(list)
  local out = { tables = {}, functions = {} }
  walk(list, { relations = recorder(out.tables), volatile = recorder(out.functions) })
  return out
end

---@param list migrator.Seen[] every statement of the run, in order
---@param facts migrator.DangerFacts
---@return migrator.Danger[]
function M.find(list, facts)
  local volatile = setmetatable({}, { __index = facts.volatile })
  local out = {}
  for i, found in ipairs(walk(list, { relations = facts.relations, volatile = volatile, zone = facts.zone })) do
    out[i] = advice.finding(found)
  end
  return out
end

return M
