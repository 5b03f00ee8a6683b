---migrator repair: rewrites tracking rows, or an entry's `when`, on purpose.
local array = require("migrator.sink").array
local audit = require("migrator.lib.lazy").require "migrator.audit"
local classify = require "migrator.plan.classify"
local clock = require "migrator.core.clock"
local confirm = require "migrator.confirm"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local ledger = require "migrator.ledger"
local repair = require "migrator.repair"
local text = require "migrator.sink.text"

local M = {}

---Each returns what is to be changed, in words, and the function that does it; nil when there is nothing to do.
local KINDS = {}

function KINDS.accept(tag, found, session)
  local change = repair.accept(found, tag)
  if not change then return nil end
  local lines = {}
  for i, words in ipairs(change.changes) do lines[i] = ("row %d (%s): %s"):format(change.row.id, tag, words) end
  return lines, function() ledger.accept(session, change.row, change.entry) end
end

function KINDS.restamp(tag, found, _, journal)
  local before = fs.read(journal.path)
  local change = repair.restamp(found, journal, before, tag, clock.wall())
  return change.changes, function()
    if fs.read(journal.path) ~= before then
      errors.raise("journal", { message = "the journal was changed meanwhile", file = journal.path,
        state = "nothing was changed by us" })
    end
    fs.write(journal.path, change.text)
  end
end

function KINDS.forget(id, found, session)
  local row = repair.forget(found, id)
  local created_at = row.created_at and tostring(row.created_at) or "NULL"
  return { ("row %d (hash %s, created_at %s): removed"):format(row.id, row.hash, created_at) },
    function() ledger.forget(session, row) end
end

-- "0003" is how people speak of 0003_add_users.
local function check_prefix(journal, tag)
  local near, count
  for _, entry in ipairs(journal.entries) do
    if entry.tag == tag then return end
    if entry.tag:sub(1, #tag):lower() == tag:lower() then near, count = near or entry.tag, (count or 0) + 1 end
  end
  if not near then return end
  errors.raise("usage", { message = ("the journal has no migration %s"):format(tag), state = "nothing was changed",
    hint = ("did you mean %s?"):format(near) .. (count > 1 and (" (%d begin like that)"):format(count) or "") })
end

local function find_kind(args)
  local kind
  for _, name in ipairs { "accept", "restamp", "forget" } do
    if args[name] and kind then errors.raise("usage", "one repair at a time: --accept, --restamp or --forget") end
    if args[name] then kind = name end
  end
  if not kind then
    errors.raise("usage", { message = "what is to be repaired?",
      hint = "--accept TAG, --restamp TAG or --forget ID; `migrator status` "
      .. "shows what is wrong" })
  end
  return kind
end

local function record(config, sink, session, lines, work)
  local function list()
    local out = {}
    for i, line in ipairs(lines) do out[i] = { kind = "row", name = line } end
    return out, false
  end
  audit.around(config, { command = "repair", conn = session.conn, emit = text.subscribe(sink, clock.now), list = list,
    marker = session.state.marker }, work)
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { accept?: string, restamp?: string, forget?: string, confirm?: string }
function M.run(config, sink, args)
  local kind = find_kind(args)
  local journal = engine.journal(config)
  if kind ~= "forget" then check_prefix(journal, args[kind]) end
  local session = engine.open(config, { lock = true, emit = text.subscribe(sink, clock.now),
    deadline = engine.deadline(config) })
  local _ <close> = session.conn
  local lines, change = KINDS[kind](args[kind], classify.run(journal.entries, session.rows), session, journal)
  if lines then
    sink:line(("In %s:"):format(kind == "restamp" and journal.path or session.tracking.name .. " of "
      .. session.state.database))
    for _, line in ipairs(lines) do sink:line("  " .. line) end
    local function work()
      confirm.insist(sink, "repair " .. session.state.database, args.confirm or config.environment.MIGRATOR_CONFIRM,
        ("migrator repair --%s %s"):format(kind, args[kind]))
      change()
    end
    if config.audit then record(config, sink, session, lines, work) else work() end
    sink:line("Done.")
  else
    sink:line(("Nothing to repair: %s is recorded as it is."):format(args[kind]))
  end
  sink:document { kind = kind, changes = array(lines or {}), database = session.state.database }
  return 0
end

return M
