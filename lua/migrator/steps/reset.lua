---steps.reset { confirm = …, preset = …, dir = …, seeds = … }: everything is dropped, guarded as `migrator reset --drop`
---is, and only when what comes after can be done. The steps behind it migrate and seed.
local clock = require "migrator.core.clock"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local preflight = require "migrator.reset.preflight"
local reset = require "migrator.reset"
local text = require "migrator.sink.text"

local KNOWN = { confirm = "string", dir = "string", seeds = "string", preset = "string", tiers = "table",
  schema = "string", table = "string", audit = "boolean string" }

local function hint(phrase) return ("MIGRATOR_CONFIRM=%q, or confirm of steps.reset"):format(phrase) end

return function(given)
  local opts = options.check("reset", given, KNOWN)
  if opts.tiers and opts.preset then
    errors.raise("script", { message = "steps.reset takes tiers or a preset, not both", step = "reset" })
  end
  local asked = opts.preset and { preset = opts.preset } or opts.tiers
  local settings = { dir = opts.dir, seeds = opts.seeds, schema = opts.schema, table = opts.table, audit = opts.audit }
  return {
    name = "reset", needs = { "dsn" }, gives = { "dropped" }, options = { dir = opts.dir, preset = opts.preset },
    check = function(ctx) preflight.read(ctx:config_for(settings), asked) end,
    run = function(ctx)
      local config = ctx:config_for(settings)
      local wanted = preflight.read(config, asked, true)
      local own <close> = not ctx.conn and engine.connect(config, ctx.deadline) or nil
      local phrase = opts.confirm or config.environment.MIGRATOR_CONFIRM
      local dropped, session, trail = reset.perform(config, ctx.conn or own, wanted, {
        given = phrase ~= "" and phrase or nil, sink = ctx.sink, emit = text.subscribe(ctx.sink, clock.now),
        command = hint, deadline = ctx.deadline })
      engine.release(session, session.conn)
      ctx.audit_run = trail and trail.run
      ctx.results.dropped = dropped
      for _, line in ipairs(reset.describe(dropped)) do ctx.sink:line(line) end
      ctx:give("dropped", dropped)
    end,
  }
end
