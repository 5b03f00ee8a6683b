---steps.verify { policy = policy.verify.strict }: layer 2: another reader of the journal on another connection.
local options = require "migrator.steps.options"
local verify = require "migrator.verify"

local KNOWN = { policy = "function string", dir = "string", schema = "string", table = "string" }

return function(given)
  local opts = options.check("verify", given, KNOWN)
  local policy = opts.policy
  opts.policy = nil
  return {
    name = "verify", needs = { "dsn" }, gives = { "verified" }, options = opts,
    run = function(ctx)
      local config = ctx:config_for(opts, ctx.migrate_config)
      local verdict = verify.check { url = config.url, dir = config.dir, schema = config.schema, table = config.table,
        policy = policy, deadline = ctx.deadline, allow = { edited = config.edited == "allow" } }
      ctx.results.verdict = verdict
      ctx.sink:line(("Verified: database has all %d migrations."):format(verdict.expected))
      ctx:give("verified", verdict)
    end,
  }
end
