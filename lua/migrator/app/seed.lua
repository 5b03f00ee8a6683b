---migrator seed [TIER…]: the tiers that the environment allows, each one transaction.
local lazy = require "migrator.lib.lazy"
local audit = lazy.require "migrator.audit"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local gate = require "migrator.seed.gate"
local presets_of = require "migrator.seed.presets"
local seeds = require "migrator.seed"
local sink_module = require "migrator.sink"

local M = {}

local function environments(tier)
  local out = sink_module.array {}
  for _, name in ipairs(gate.ENVIRONMENTS) do
    if tier.environments[name] then out[#out + 1] = name end
  end
  return out
end

local function list_presets(sink, presets, document)
  local rows = { { "preset", "tiers", "what" } }
  document.presets = sink_module.array {}
  for i, name in ipairs(presets_of.names(presets)) do
    local preset = presets[name]
    local tiers = preset.tiers ~= "all" and preset.tiers or nil
    rows[#rows + 1] = { name, tiers and table.concat(tiers, ", ") or "all", preset.description }
    document.presets[i] = { preset = name, tiers = tiers and sink_module.array(tiers) or nil,
      description = preset.description }
  end
  if #rows == 2 and rows[2][1] == "full" then return end -- nobody's own
  sink:line("")
  sink:table(rows)
end

local function list(config, sink)
  local tiers, presets = require("migrator.seed.tiers").load(config)
  local environment = gate.environment(config)
  local document = { environment = { name = environment.name, why = environment.why }, tiers = sink_module.array {} }
  local rows = { { "order", "tier", "runs here", "environments", "idempotent", "what" } }
  for i, tier in ipairs(tiers) do
    local objection = gate.find_objection(tier, environment)
    if not objection then
      local ok, err = pcall(gate.check_truncates, tier, environment, config)
      objection = not ok and err.message or nil
    end
    local allowed = environments(tier)
    rows[#rows + 1] = { tostring(tier.order), tier.name, objection and "no" or "yes",
      #allowed == #gate.ENVIRONMENTS and "all" or table.concat(allowed, ", "), tier.idempotent and "yes" or "no",
        objection or tier.description }
    document.tiers[i] = { tier = tier.name, order = tier.order, runs = objection == nil, reason = objection,
      environments = allowed, idempotent = tier.idempotent, description = tier.description }
  end
  sink:line(("Environment: %s (%s)"):format(environment.name, environment.why))
  sink:table(rows)
  list_presets(sink, presets, document)
  sink:document(document)
  return 0
end

local function check_usage(args, names)
  if not args.preset then return end
  if not names and not args.list and not args.prove then return end
  errors.raise("usage", { message = "--preset names what to run: no tiers beside it, no --list, no --prove",
    hint = "`migrator seed --list` shows what a preset holds" })
end

local function execute(config, selection, emit)
  if not config.audit then return seeds.execute(config, selection, nil, emit) end
  local deadline = engine.deadline(config)
  local conn <close> = engine.connect(config, deadline)
  return audit.around(config, { command = "seed", conn = conn, deadline = deadline, emit = emit,
    list = audit.of_seeds }, function() return seeds.execute(config, selection, conn, emit) end)
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { tier?: string[], preset?: string, list?: boolean, prove?: boolean }
function M.run(config, sink, args)
  local names = args.tier and #args.tier > 0 and args.tier or nil
  check_usage(args, names)
  if args.list then return list(config, sink) end
  if args.prove then return require("migrator.seed.prove").command(config, sink, names) end
  local selection = seeds.load(config, args.preset and { preset = args.preset } or names)
  local ok, results = pcall(execute, config, selection, seeds.subscribe(sink))
  if not ok then
    local done = errors.is(results) and rawget(results, "results") or {}
    if #done > 0 then seeds.print(sink, selection, done) end
    local document = seeds.document(selection, done)
    results = errors.wrap(results, "internal")
    failure.explain(sink, results)
    document.failed = failure.document(results)
    sink:document(document)
    error(results, 0)
  end
  seeds.print(sink, selection, results)
  sink:document(seeds.document(selection, results))
  return 0
end

return M
