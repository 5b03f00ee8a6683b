---The run for GitHub: annotations at the failing line and for the warnings, step outputs, and a summary in Markdown.
---Elsewhere it says nothing.
local annotations = require "migrator.sink.annotations"
local ci = require "migrator.ci"
local markdown = require "migrator.sink.markdown"
local outputs = require "migrator.sink.outputs"

local function has(environment, name) return (environment[name] or "") ~= "" end

return function(ctx, _, run)
  local environment = ctx.config.environment
  if environment.GITHUB_ACTIONS ~= "true" then return end
  annotations.print(ctx, run)
  -- Without its file either is printed, and with --json standard output is one document.
  local may_print = not ctx.sink.json_mode
  if may_print or has(environment, "GITHUB_OUTPUT") then outputs.write(outputs.of(ctx)) end
  if may_print or has(environment, "GITHUB_STEP_SUMMARY") then ci.summary(markdown.page(run)) end
end
