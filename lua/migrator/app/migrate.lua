---migrator migrate: apply what is pending, verified in the run.
local lazy = require "migrator.lib.lazy"
local clock = require "migrator.core.clock"
local engine = require "migrator.engine"
local failure = lazy.require "migrator.sink.failure"
local report = lazy.require "migrator.report"
local text = require "migrator.sink.text"

local M = {}

---@param config migrator.Config
---@param sink migrator.Sink
function M.run(config, sink)
  local result = engine.migrate(config, text.subscribe(sink, clock.now), { deadline = engine.deadline(config) })
  sink:clear_progress()
  if result.error then failure.explain(sink, result.error) end
  if sink.json_mode then sink:document(report.migrate(result, failure.document)) end
  if result.error then error(result.error, 0) end
  return 0
end

return M
