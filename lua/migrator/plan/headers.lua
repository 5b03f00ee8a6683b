---What a file asks for in the comments above its first statement:
---`-- migrator: no-transaction, lock_timeout=3s`. Several words, by comma or blank; several lines.
local lazy = require "migrator.lib.lazy"
local danger = lazy.require "migrator.plan.danger"
local duration = require "migrator.lib.duration"
local errors = require "migrator.error"
local kinds = require "migrator.plan.kinds"
local statements = require "migrator.journal.statements"
local suggest = require "migrator.lib.suggest"
local sql = require "migrator.core.sql"

local M = {}

---@class migrator.Headers
---@field no_transaction? boolean statement by statement, outside a transaction
---@field isolate? boolean a transaction of its own
---@field lock_timeout? number seconds, 0: no limit
---@field statement_timeout? number seconds, 0: no limit
---@field allow? table<string, boolean> dangers that `plan` does not speak of
---@field phase? "expand"|"contract"
---@field needs? string tag that the deployed version must be at or past, for phase=contract
---@field words string[] as written, for people

local LONGEST = 0x7fffffff / 1000 -- seconds: the server counts milliseconds in 32 bits

local function read_span(value)
  local ok, seconds = pcall(duration.parse, value)
  if not ok then return nil, errors.is(seconds) and seconds.hint or nil end
  if seconds > LONGEST then return nil, "the server takes no more than 24 days; 0 is no limit" end
  return seconds
end

---Several rules by +; several headers add up.
local function read_rules(value, before)
  local out = before or {}
  for rule in (value .. "+"):gmatch("([^+]*)%+") do
    local known = false
    for _, name in ipairs(danger.RULES) do known = known or name == rule end
    if not known then
      return nil, suggest.hint(rule, danger.RULES) or "the rules are " .. table.concat(danger.RULES, ", ")
        .. "; several are joined by +"
    end
    out[rule] = true
  end
  return out
end

local PHASES = { "expand", "contract" }

local function read_phase(value)
  if value == "expand" or value == "contract" then return value end
  return nil, suggest.hint(value, PHASES) or "there are expand and contract"
end

local function read_tag(value) return value end

---Each header: the field it sets, and for one with a value its reader: text and the value so far -> value, or nil and
---a hint.
---@type table<string, { field: string, read?: fun(text: string, before: any): any, string? }>
M.KNOWN = {
  ["no-transaction"] = { field = "no_transaction" },
  isolate = { field = "isolate" },
  allow = { field = "allow", read = read_rules },
  phase = { field = "phase", read = read_phase },
  needs = { field = "needs", read = read_tag },
  lock_timeout = { field = "lock_timeout", read = read_span },
  statement_timeout = { field = "statement_timeout", read = read_span },
}

local function known_words()
  local out = {}
  for word, known in pairs(M.KNOWN) do out[#out + 1] = known.read and word .. "=" or word end
  table.sort(out)
  return table.concat(out, ", ")
end

local function names()
  local out = {}
  for word in pairs(M.KNOWN) do out[#out + 1] = word end
  table.sort(out)
  return out
end

local function refuse(entry, source, at, message, hint)
  local line, column = sql.position(source, at)
  errors.raise("parse", { message = message, hint = hint, file = entry.path, line = line, column = column,
    snippet = statements.line_at(source, line), migration = entry.tag })
end

local function read_word(out, word, fail)
  local name, value = word:match("^([^=]*)=(.*)$")
  name = name or word
  local known = M.KNOWN[name]
  if not known then
    fail(("there is no header %q"):format(name), suggest.hint(name, names()) or "there are " .. known_words())
  elseif value and not known.read then
    fail(("the header %s takes no value"):format(name), ("write `-- migrator: %s`"):format(name))
  elseif known.read and (not value or value == "") then
    fail(("the header %s needs a value"):format(name), ("write %s=…"):format(name))
  end
  local set, hint = true, nil
  if known.read then set, hint = known.read(value, out[known.field]) end
  if set == nil then fail(("the header %s: %q is not a value for it"):format(name, value), hint) end
  if out[known.field] ~= nil and out[known.field] ~= set then
    fail(("the header %s is given twice"):format(name), "one value for each file")
  end
  if out[known.field] == nil or known.read == read_rules then out.words[#out.words + 1] = word end
  out[known.field] = set
end

-- The blanks around = belong to the word; their place in the text is kept.
local function read_line(out, entry, source, from, to)
  local at = from
  while true do
    local first, last = source:find("[^%s,]+", at)
    if not first or first > to then return end
    if source:find("^[^%s,=]+%s*=%s*[^%s,]", first) or source:find("^[^%s,]*=%s*[^%s,]", first) then
      local _, value = source:find("^[^%s,=]+%s*=%s*[^%s,]+", first)
      if value and value <= to then last = value end
    end
    local word = source:sub(first, math.min(last, to)):gsub("%s*=%s*", "=")
    read_word(out, word, function(message, hint) refuse(entry, source, first, message, hint) end)
    at = last + 1
  end
end

---A contract that names no expansion could never be let through, and a need without one would hold nothing back.
local function check_phase(out, fail)
  if out.phase == "contract" and not out.needs then
    fail("phase=contract does not say what it needs",
      "add needs=TAG: the migration that the deployed version must have")
  elseif out.needs and out.phase ~= "contract" then
    fail("needs= without phase=contract holds nothing back", "write `-- migrator: phase=contract needs=" .. out.needs
      .. "`")
  end
end

local HEADER = "^%-%-+[ \t]*migrator:()"

---Reads the comments above the first statement.
---@param entry migrator.Entry
---@param list migrator.Statement[] of entry:statements()
---@return migrator.Headers
function M.read(entry, list)
  local source, out = list.source, { words = {} }
  if not source:find("migrator:", 1, true) then return out end
  local stop, at = list[1] and list[1].offset or #source + 1, 1
  local last
  while at < stop do
    local next_at = kinds.skip(source, at)
    local from = source:match(HEADER, at)
    if from then
      read_line(out, entry, source, from, (source:find("[\r\n]", at) or #source + 1) - 1)
      last = at
    end
    at = next_at
  end
  check_phase(out, function(message, hint) refuse(entry, source, last, message, hint) end)
  return out
end

---The line of a header that stands below the first statement, where it is not read.
---@param list migrator.Statement[]
---@return integer|nil
function M.find_late(list)
  local source = list.source
  local at = list[1] and source:find("migrator:", list[1].offset, true) and list[1].offset
  while at do
    at = source:find("\n[ \t]*%-%-+[ \t]*migrator:", at)
    if not at then return nil end
    local inside = false
    for _, statement in ipairs(list) do
      inside = inside or (at >= statement.offset and at < statement.offset + #statement.text)
    end
    if not inside then return (sql.position(source, at + 1)) end
    at = at + 1
  end
end

---The settings of the server that hold for this file alone.
---@param headers migrator.Headers
---@return { name: string, value: string }[]
function M.settings(headers)
  local out = {}
  for _, name in ipairs { "lock_timeout", "statement_timeout" } do
    local seconds = headers[name]
    if seconds then
      out[#out + 1] = { name = name, value = ("%dms"):format(seconds > 0 and math.max(1, math.floor(seconds * 1000))
        or 0) }
    end
  end
  return out
end

return M
