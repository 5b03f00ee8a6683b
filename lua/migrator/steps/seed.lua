---steps.seed { dir = "seeds", tiers = {…}, preset = "lite", audit = true }: the tiers that the environment allows.
local audit = require "migrator.audit"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local seeds = require "migrator.seed"

local KNOWN = { dir = "string", tiers = "table", preset = "string", audit = "boolean string" }

return function(given)
  local opts = options.check("seed", given, KNOWN)
  if opts.tiers and opts.preset then
    errors.raise("script", { message = "steps.seed takes tiers or a preset, not both", step = "seed" })
  end
  local asked = opts.preset and { preset = opts.preset } or opts.tiers
  local settings = { seeds = opts.dir, audit = opts.audit }
  return {
    name = "seed", needs = { "dsn" }, options = opts,
    check = function(ctx) seeds.load(ctx:config_for(settings), asked) end,
    run = function(ctx)
      local config = ctx:config_for(settings, ctx.migrate_config)
      local conn <close> = engine.connect(config, ctx.deadline)
      audit.around(config, { command = "seed", conn = conn, deadline = ctx.deadline, emit = ctx.emit,
        run = ctx.audit_run, list = audit.of_seeds }, function()
        ctx.results.seeds = seeds.run(config, conn, asked, ctx.sink)
        return ctx.results.seeds.results
      end)
    end,
  }
end
