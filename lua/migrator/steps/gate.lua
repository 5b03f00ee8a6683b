---steps.gate { require = TAG }: the last word before a deploy: has the database what this checkout's code needs? Asked
---on a connection of its own.
local gate = require "migrator.gate"
local engine = require "migrator.engine"
local options = require "migrator.steps.options"

local KNOWN = { require = "string", missing = "string", dir = "string", schema = "string", table = "string" }

return function(given)
  local opts = options.check("gate", given, KNOWN)
  local required = opts.require
  opts.require = nil
  return {
    name = "gate", needs = { "dsn" }, gives = { "gate" }, options = opts,
    check = function(ctx) gate.find(engine.journal(ctx:config_for(opts)), required) end,
    run = function(ctx)
      local verdict = gate.check(ctx:config_for(opts, ctx.migrate_config), { require = required,
        deadline = ctx.deadline })
      ctx.results.gate = verdict
      gate.refuse(verdict)
      ctx.sink:line(gate.describe(verdict))
      ctx:give("gate", verdict)
    end,
  }
end
