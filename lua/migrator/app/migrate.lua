---migrator migrate: apply what is pending, verified in the run.
local lazy = require "migrator.lib.lazy"
local audit = lazy.require "migrator.audit"
local clock = require "migrator.core.clock"
local engine = require "migrator.engine"
local failure = lazy.require "migrator.sink.failure"
local identity = require "migrator.identity"
local report = lazy.require "migrator.report"
local text = require "migrator.sink.text"

local M = {}

---@param config migrator.Config
---@param sink migrator.Sink
function M.run(config, sink)
  local emit, deadline = text.subscribe(sink, clock.now), engine.deadline(config)
  local after = config.audit and audit.after_migrate(config, { emit = emit, deadline = deadline }) or nil
  local function look(session) sink:diagnostic("info", identity.describe(identity.of(session))) end
  local result = engine.migrate(config, emit, { deadline = deadline, after = after, policy = { look = look } })
  sink:clear_progress()
  if result.error then failure.explain(sink, result.error) end
  if sink.json_mode or sink.report then sink:document(report.migrate(result, failure.document)) end
  if result.error then error(result.error, 0) end
  return 0
end

return M
