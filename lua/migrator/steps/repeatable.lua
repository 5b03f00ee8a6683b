---steps.repeatable { dir = "policies" }: the scripts outside the journal whose text changed, in the run's lock.
local clock = require "migrator.core.clock"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local repeatable = require "migrator.repeatable"
local retry = require "migrator.policy.retry"
local server = require "migrator.server"
local text = require "migrator.sink.text"

local KNOWN = { dir = "string", always = "boolean", lock_timeout = "duration", wait = "duration", tries = "number" }

local function folder(ctx, opts)
  local found = opts.dir or ctx.config.repeatable or repeatable.find_folder()
  if found then return found end
  errors.raise("config", { message = "steps.repeatable: no folder repeatable or policies is here",
    hint = "name it: steps.repeatable { dir = … }" })
end

return function(given)
  local opts = options.check("repeatable", given, KNOWN)
  local settings = { lock_timeout = opts.lock_timeout, wait = opts.wait, tries = opts.tries }
  return {
    name = "repeatable", needs = { "dsn" }, gives = { "repeatable" }, options = opts,
    check = function(ctx) repeatable.load(folder(ctx, opts)) end,
    run = function(ctx)
      local set = repeatable.load(folder(ctx, opts))
      local config = ctx:config_for(settings, ctx.migrate_config)
      local emit = text.subscribe(ctx.sink, clock.now)
      local session = engine.open(config, { lock = true, emit = emit, deadline = ctx.deadline, conn = ctx.conn })
      local ok, result = pcall(function()
        if opts.lock_timeout then server.limit(session.conn, { lock_timeout = opts.lock_timeout }) end
        return repeatable.run(set, session, emit, { always = opts.always, deadline = ctx.deadline,
          retry = retry.lock { tries = config.tries } })
      end)
      engine.release(session, ctx.conn)
      if not ok then error(result, 0) end
      ctx.results.repeatable = result
      ctx:give("repeatable", result)
    end,
  }
end
