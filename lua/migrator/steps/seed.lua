---steps.seed { dir = "seeds", tiers = {…} }: the tiers that the environment allows.
local engine = require "migrator.engine"
local options = require "migrator.steps.options"
local seeds = require "migrator.seed"

local KNOWN = { dir = "string", tiers = "table" }

return function(given)
  local opts = options.check("seed", given, KNOWN)
  return {
    name = "seed", needs = { "dsn" }, options = opts,
    check = function(ctx) seeds.load(ctx:config_for { seeds = opts.dir }, opts.tiers) end,
    run = function(ctx)
      local config = ctx:config_for({ seeds = opts.dir }, ctx.migrate_config)
      local conn <close> = engine.connect(config, ctx.deadline)
      ctx.results.seeds = seeds.run(config, conn, opts.tiers, ctx.sink)
    end,
  }
end
