---steps.verify { policy = policy.verify.strict }: layer 2: another reader of the journal on another connection.
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local policies = require "migrator.policy.verify"
local suggest = require "migrator.lib.suggest"
local verify = require "migrator.verify"

local KNOWN = { policy = "function string", dir = "string", schema = "string", table = "string" }

local function check_policy(policy)
  if type(policy) ~= "string" or rawget(policies, policy) then return end
  local names = {}
  for name in pairs(policies) do names[#names + 1] = name end
  table.sort(names)
  errors.raise("script", { message = ("steps.verify: no policy %q"):format(policy), step = "verify",
    hint = suggest.hint(policy, names) or table.concat(names, ", ") .. ", or a function" })
end

return function(given)
  local opts = options.check("verify", given, KNOWN)
  local policy = opts.policy
  opts.policy = nil
  check_policy(policy)
  return {
    name = "verify", needs = { "dsn" }, gives = { "verified" }, options = opts,
    early = function(ctx)
      local url = ctx:config_for(opts).url
      ctx.early_verify = { url = url, take = verify.connect_later { url = url, deadline = ctx.deadline } }
    end,
    run = function(ctx)
      local config = ctx:config_for(opts, ctx.migrate_config)
      local early = ctx.early_verify
      ctx.early_verify = nil
      local verdict = verify.check { url = config.url, dir = config.dir, schema = config.schema, table = config.table,
        take = early and early.url == config.url and early.take or nil,
        policy = policy, deadline = ctx.deadline, allow = { edited = config.edited == "allow" } }
      ctx.results.verdict = verdict
      ctx.sink:line(("Verified: database has all %d migrations."):format(verdict.expected))
      ctx:give("verified", verdict)
    end,
  }
end
