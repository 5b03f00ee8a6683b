---The report as JSON: steps.report { "json:report.json" }. Its keys are those of docs/json.md.
local failure = require "migrator.sink.failure"
local file = require "migrator.sink.file"
local sink = require "migrator.sink"

local M = {}

---@param ctx migrator.Context
---@param run migrator.RunReport
function M.document(ctx, run)
  local out = { result = run.result, name = run.name, at = run.at, duration_ms = run.duration_ms, stopped = run.stopped,
    changed = ctx.results.changed, ci = next(run.ci) and run.ci or nil, server = run.server,
    steps = sink.array {}, migrations = sink.array {}, warnings = sink.array {}, notices = sink.array {},
    secrets = #run.secrets > 0 and sink.array(run.secrets) or nil, migrate = ctx.results.document,
    error = run.error and failure.document(run.error) or nil }
  for i, step in ipairs(run.steps) do
    out.steps[i] = { name = step.name, status = step.status, duration_ms = step.duration_ms }
  end
  for i, item in ipairs(run.migrations) do out.migrations[i] = item end
  for i, item in ipairs(run.warnings) do out.warnings[i] = item end
  for i, item in ipairs(run.notices) do out.notices[i] = item end
  return out
end

function M.write(ctx, path, run) file.write_json(path, M.document(ctx, run)) end

return M
