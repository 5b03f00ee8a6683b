---migrator reset: migrate and seed; with --drop, everything is dropped first.
local clock = require "migrator.core.clock"
local confirm = require "migrator.confirm"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local fs = require "migrator.core.fs"
local plan = require "migrator.plan"
local report = require "migrator.report"
local reset = require "migrator.reset"
local seeds = require "migrator.seed"
local sink_module = require "migrator.sink"
local text = require "migrator.sink.text"

local M = {}

---All that comes after the first destructive step, checked before it: journal, every file, the plan on an empty
---database, tiers.
local function preflight(config)
  local journal = engine.journal(config)
  local found = plan.build(journal, {}, { order = config.order, edited = config.edited, missing = config.missing,
    baseline = config.baseline, tx = config.tx })
  engine.refuse(found)
  local has_seeds = fs.find(config.seeds) or config.origins.seeds ~= "default"
  return journal, has_seeds and seeds.load(config) or nil
end

local function drop(config, sink, journal, args)
  local emit = seeds.subscribe(sink)
  local conn = engine.connect(config, engine.deadline(config))
  local ok, result = pcall(function()
    local environment = reset.check_target(config, conn, args.confirm)
    local schemas = reset.schemas(conn, config, journal.entries)
    reset.check_privileges(conn, schemas)
    reset.check_sessions(config, conn, emit)
    local info = conn:info()
    confirm.insist(sink, reset.phrase(info), args.confirm, "migrator reset --drop")
    engine.open(config, { lock = true, emit = emit, conn = conn })
    reset.drop(conn, schemas, journal.entries)
    local dropped = sink_module.array {}
    for i, schema in ipairs(schemas) do dropped[i] = { schema = schema.name, tables = schema.tables } end
    return { database = info.database, host = info.host, user = info.user, environment = environment.name,
      at = os.date("!%Y-%m-%dT%H:%M:%SZ"), schemas = dropped }
  end)
  if not ok then
    conn:close()
    error(result, 0)
  end
  return conn, result
end

local function print_dropped(sink, dropped)
  local parts = {}
  for i, schema in ipairs(dropped.schemas) do parts[i] = ("%s (%d tables)"):format(schema.schema, schema.tables) end
  sink:line(("Dropped: %s"):format(#parts > 0 and "schema " .. table.concat(parts, ", ") or "nothing"))
  sink:line(("Database: %s as %s on %s, environment %s, %s"):format(dropped.database, dropped.user, dropped.host,
    dropped.environment, dropped.at))
end

local function continue(config, sink, conn, selection, document)
  local migrated = engine.migrate(config, text.subscribe(sink, clock.now), { conn = conn,
    deadline = engine.deadline(config) })
  sink:clear_progress()
  document.migrate = report.migrate(migrated, failure.document)
  if migrated.error then error(migrated.error, 0) end
  if not selection then
    sink:diagnostic("notice", ("no seeds: there is no folder %s"):format(config.seeds))
    return
  end
  local results = seeds.execute(config, selection, conn, seeds.subscribe(sink))
  seeds.print(sink, selection, results)
  document.seed = seeds.document(selection, results)
end

local function perform(config, sink, args, document)
  local journal, selection = preflight(config)
  local conn
  if args.drop then
    conn, document.dropped = drop(config, sink, journal, args)
    print_dropped(sink, document.dropped)
  else
    conn = engine.connect(config, engine.deadline(config))
  end
  local session <close> = conn
  continue(config, sink, session, selection, document)
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { drop?: boolean, confirm?: string }
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
