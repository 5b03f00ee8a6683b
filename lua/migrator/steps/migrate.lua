---steps.migrate { dir = …, lock_timeout = …, tx = …, order = …, … }: everything of `migrator migrate`, as a step. Its
---options are those of the command. When steps.detect saw no change and nothing is pending either, the pipeline ends
---here, green.
local audit = require "migrator.audit"
local clock = require "migrator.core.clock"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local identity = require "migrator.identity"
local options = require "migrator.steps.options"
local report = require "migrator.report"
local server = require "migrator.server"
local text = require "migrator.sink.text"

local KNOWN = { dir = "string", lock_timeout = "duration", statement_timeout = "duration", tx = "string",
  order = "string",
  edited = "string", missing = "string", baseline = "string", wait = "duration", tries = "number", schema = "string",
  table = "string", orphans = "string", expect_changes = "boolean", lock_first = "boolean",
  snapshot_timeout = "duration", victims = "any", retry = "function", before = "function",
  deployed = "function string", expect = "table", restore = "string",
  audit = "boolean string" }

---@class migrator.RunPolicy what only a script can give
---@field look? fun(session: migrator.Session) sees where we are, before anything else; an error stops
---@field before? fun(run: migrator.BeforeMigrate)
---@field deployed? fun(): string|string[]|nil
---@field retry? function
---@field victims? function

---What the script's own function raises is the script's error.
local function guard(fn)
  return function(...)
    local results = table.pack(pcall(fn, ...))
    if results[1] then return table.unpack(results, 2, results.n) end
    error(errors.wrap(results[2], "script"), 0)
  end
end

---Functions are policies of this script alone; the rest are settings.
local function take_policies(opts)
  local out = { retry = opts.retry, before = opts.before }
  for _, name in ipairs { "victims", "deployed" } do
    if type(opts[name]) == "function" then out[name] = opts[name] end
  end
  for name, fn in pairs(out) do opts[name], out[name] = nil, guard(fn) end
  return out
end

---Says where we are, and refuses what is not the expected database, before anything else is done there. The session of
---steps.wait was opened before our limits were known.
local function look(ctx, expected, opts)
  return function(session)
    if session.conn == ctx.conn then server.limit(session.conn, opts) end
    local found = identity.of(session)
    ctx.results.identity = found
    ctx.emit("note", { message = identity.describe(found) })
    identity.insist(expected, found)
  end
end

return function(given)
  local opts = options.check("migrate", given, KNOWN)
  local expect_changes = opts.expect_changes
  local expected = opts.expect
  identity.check_expected("migrate", expected)
  opts.expect_changes, opts.expect = nil, nil
  local policies = take_policies(opts)
  return {
    name = "migrate", needs = { "dsn" }, gives = { "migrated" }, options = opts,
    check = function(ctx) engine.journal(ctx:config_for(opts)) end,
    run = function(ctx)
      local config = ctx:config_for(opts)
      local emit = text.subscribe(ctx.sink, clock.now)
      policies.look = look(ctx, expected, opts)
      ctx.results.gate = nil -- what was found before is not what this leaves
      local result = engine.migrate(config, emit, { deadline = ctx.deadline, conn = ctx.conn, policy = policies,
        after = audit.after_migrate(config, { emit = emit, deadline = ctx.deadline, run = ctx.audit_run }) })
      ctx.results.migrate, ctx.migrate_config = result, config
      ctx.results.document = report.migrate(result, failure.document)
      if result.error then error(result.error, 0) end
      if ctx.conn and ctx.conn:status() == "closed" then -- it was lost, and the run went on with another
        ctx.conn = engine.connect(ctx:config_for(), ctx.deadline)
        ctx:give("conn", ctx.conn)
      end
      local applied, changes = #result.outcome.applied, ctx:find("changes")
      ctx:give("migrated", applied)
      if expect_changes and applied == 0 then
        errors.raise("verify", { message = "changes were expected, but nothing was pending" })
      end
      if changes and not changes.changed and applied == 0 then
        ctx:stop("No migration/schema/seed changes detected --- skipping.")
      end
    end,
  }
end
