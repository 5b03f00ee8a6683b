---migrator baseline TAG|all: marks migrations as applied without running them.
local array = require("migrator.sink").array
local baseline = require "migrator.baseline"
local classify = require "migrator.plan.classify"
local clock = require "migrator.core.clock"
local confirm = require "migrator.confirm"
local engine = require "migrator.engine"
local ledger = require "migrator.ledger"
local text = require "migrator.sink.text"

local M = {}

local function say_what(sink, session, entries, odd)
  for _, item in ipairs(odd) do
    sink:diagnostic("warning", ("%s is %s, and stays so: `migrator repair --accept %s` mends it"):format(
      item.entry.tag, item.state, item.entry.tag))
  end
  if #entries == 0 then return end
  sink:line(("Going to record %d migration(s) as applied in %s of %s, without running them:"):format(#entries,
    session.tracking.name, session.state.database))
  for _, entry in ipairs(entries) do
    sink:line(("  %s (hash %s…, created_at %d)"):format(entry.tag, entry.hash:sub(1, 12), entry.when))
  end
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { tag: string, confirm?: string }
function M.run(config, sink, args)
  local journal = engine.journal(config)
  local session = engine.open(config, { lock = true, emit = text.subscribe(sink, clock.now),
    deadline = engine.deadline(config) })
  local _ <close> = session.conn
  local entries, odd = baseline.select(classify.run(journal.entries, session.rows).items, args.tag)
  say_what(sink, session, entries, odd)
  local done = array {}
  if #entries > 0 then
    local phrase = "baseline " .. session.state.database
    confirm.insist(sink, phrase, args.confirm or config.environment.MIGRATOR_CONFIRM, "migrator baseline " .. args.tag)
    ledger.record(session, entries)
    for i, entry in ipairs(entries) do done[i] = entry.tag end
    sink:line(("Recorded %d migration(s)."):format(#entries))
  else
    sink:line("Nothing to record.")
  end
  sink:document { recorded = done, database = session.state.database }
  return 0
end

return M
