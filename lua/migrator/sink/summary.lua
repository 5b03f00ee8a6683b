---The end of a pipeline, on one screen: each step, what it did, how long it took.
local duration = require "migrator.lib.duration"
local errors = require "migrator.error"

local COLOR = { ok = "green", failed = "red", skipped = "dim", ["not reached"] = "yellow" }

return function(ctx, _, run)
  local sink = ctx.sink
  local rows = { { "step", "result", "time", "" } }
  for _, step in ipairs(run.steps) do
    rows[#rows + 1] = { step.name, sink:paint("stdout", COLOR[step.status], step.status),
      step.elapsed > 0 and duration.format(step.elapsed) or "-", step.what }
  end
  sink:table(rows)
  local took = duration.format(ctx.elapsed)
  if not run.error then return sink:line("Done in " .. took) end
  -- The cause, in the last line: that is where people look first.
  local cause = errors.is(run.error) and run.error.message or tostring(run.error)
  sink:line(("Failed in %s: %s"):format(took, cause:match("[^\r\n]+") or ""))
end
