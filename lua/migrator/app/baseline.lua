---migrator baseline TAG|all: marks migrations as applied without running them. With --environment NAME the database
---itself is marked.
local array = require("migrator.sink").array
local audit = require("migrator.lib.lazy").require "migrator.audit"
local baseline = require "migrator.baseline"
local classify = require "migrator.plan.classify"
local clock = require "migrator.core.clock"
local confirm = require "migrator.confirm"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local ledger = require "migrator.ledger"
local marker = require "migrator.marker"
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

local function record(config, sink, session, journal, args)
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
  return done
end

---The first marker takes nothing away from anybody; another one would open what the first one guards.
local function mark(config, sink, session, args)
  local conn, name, database = session.conn, args.environment, session.state.database
  local before = marker.find(conn)
  if before and before.name == name then
    sink:line(("%s is marked %s already (%s, by %s)."):format(database, name, before.at, before.by))
  else
    if before then
      sink:line(("%s is marked %s (%s, by %s)."):format(database, before.name, before.at, before.by))
      confirm.insist(sink, ("mark %s %s"):format(database, name), args.confirm
        or config.environment.MIGRATOR_CONFIRM, "migrator baseline --environment " .. name)
    end
    conn:transaction(function() marker.write(conn, { name = name }) end)
    sink:line(("Marked %s: %s."):format(database, name))
  end
  local objection = marker.find_objection(config, name)
  if objection then sink:diagnostic("notice", objection .. ": migrate, seed and reset will refuse") end
end

local function check_usage(args)
  if args.environment then marker.check_name(args.environment) end
  if not args.tag and not args.environment then
    errors.raise("usage", { message = "baseline needs a tag, `all`, or --environment NAME",
      hint = "`migrator status --all` lists the migrations" })
  elseif args.tag and args.environment then
    errors.raise("usage", { message = "baseline records migrations or marks the database, not both at once",
      hint = "`migrator baseline --environment " .. args.environment .. "` first" })
  end
end

local function perform(config, sink, session, journal, args)
  local emit, done = text.subscribe(sink, clock.now), array {}
  local function list()
    local out = {}
    for i, tag in ipairs(done) do out[i] = { kind = "migration", name = tag } end
    if args.environment then out[1] = { kind = "environment", name = args.environment } end
    return out, #out == 0
  end
  local function work()
    if args.environment then
      mark(config, sink, session, args)
    else
      done = record(config, sink, session, journal, args)
    end
    return done
  end
  if not config.audit then return work() end
  return audit.around(config, { command = "baseline", conn = session.conn, emit = emit, list = list,
    marker = session.state.marker }, work)
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { tag?: string, environment?: string, confirm?: string }
function M.run(config, sink, args)
  check_usage(args)
  local journal = args.tag and engine.journal(config)
  local session = engine.open(config, { lock = true, unmarked = args.environment ~= nil,
    emit = text.subscribe(sink, clock.now), deadline = engine.deadline(config) })
  local _ <close> = session.conn
  local done = perform(config, sink, session, journal, args)
  sink:document { recorded = done, database = session.state.database, environment = args.environment }
  return 0
end

return M
