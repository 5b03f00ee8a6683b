---migrator reset: migrate and seed; with --drop, everything is dropped first.
local audit = require "migrator.audit"
local clock = require "migrator.core.clock"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local preflight = require "migrator.reset.preflight"
local report = require "migrator.report"
local reset = require "migrator.reset"
local seeds = require "migrator.seed"
local text = require "migrator.sink.text"

local M = {}

local function drop(config, sink, wanted, args)
  local conn = engine.connect(config, engine.deadline(config))
  local given = args.confirm or config.environment.MIGRATOR_CONFIRM
  if given == "" then given = nil end
  local ok, result, _, trail = pcall(reset.perform, config, conn, wanted, { given = given, sink = sink,
    emit = seeds.subscribe(sink), command = "migrator reset --drop", deadline = engine.deadline(config) })
  if not ok then
    conn:close()
    error(result, 0)
  end
  return conn, result, trail
end

---Migrations and seeds on what is there now. Their rows of the audit trail have the run of the drop's.
local function continue(config, sink, conn, selection, document, trail)
  local emit, deadline = text.subscribe(sink, clock.now), engine.deadline(config)
  local how = { emit = emit, deadline = deadline, run = trail and trail.run, force = trail ~= nil }
  local migrated = engine.migrate(config, emit, { conn = conn, deadline = deadline,
    after = audit.after_migrate(config, how) })
  sink:clear_progress()
  document.migrate = report.migrate(migrated, failure.document)
  if migrated.error then error(migrated.error, 0) end
  if not selection then
    sink:diagnostic("notice", ("no seeds: there is no folder %s"):format(config.seeds))
    return
  end
  how.command, how.conn, how.list, how.marker = "seed", conn, audit.of_seeds, migrated.server.marker
  local results = audit.around(config, how, function()
    return seeds.execute(config, selection, conn, seeds.subscribe(sink))
  end)
  seeds.print(sink, selection, results)
  document.seed = seeds.document(selection, results)
end

local function perform(config, sink, args, document)
  local wanted = preflight.read(config, args.seed and { either = args.seed }, args.drop)
  local conn, trail
  if args.drop then
    conn, document.dropped, trail = drop(config, sink, wanted, args)
    for _, line in ipairs(reset.describe(document.dropped)) do sink:line(line) end
  else
    conn = engine.connect(config, engine.deadline(config))
  end
  local session <close> = conn
  continue(config, sink, session, wanted.selection, document, trail)
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { drop?: boolean, confirm?: string, seed?: string }
function M.run(config, sink, args)
  if args.confirm and not args.drop then
    errors.raise("usage", { message = "--confirm without --drop: nothing would be dropped", hint = "say reset --drop" })
  end
  local document = {}
  local ok, err = pcall(perform, config, sink, args, document)
  if not ok then
    err = errors.wrap(err, "internal")
    failure.explain(sink, err)
    document.failed = failure.document(err)
  end
  sink:document(document)
  if not ok then error(err, 0) end
  return 0
end

return M
