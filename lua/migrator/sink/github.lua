---The run for GitHub: annotations at the failing line and for the warnings, step outputs, and a summary in Markdown.
---Elsewhere it says nothing. The outputs are apart from the rest: a deploy decides by them, so they are written when
---nothing that could fail is left.
local annotations = require "migrator.sink.annotations"
local ci = require "migrator.ci"
local markdown = require "migrator.sink.markdown"
local outputs = require "migrator.sink.outputs"

local M = {}

-- Without its file either is printed, and with --json standard output is one document.
local function may(ctx, name)
  local environment = ctx.config.environment
  if environment.GITHUB_ACTIONS ~= "true" then return false end
  return not ctx.sink.json_mode or (environment[name] or "") ~= ""
end

function M.print(ctx, _, run)
  if ctx.config.environment.GITHUB_ACTIONS == "true" then annotations.print(ctx, run) end
  if may(ctx, "GITHUB_STEP_SUMMARY") then ci.summary(markdown.page(run)) end
end

function M.print_outputs(ctx)
  if may(ctx, "GITHUB_OUTPUT") then outputs.write(outputs.of(ctx)) end
end

return M
