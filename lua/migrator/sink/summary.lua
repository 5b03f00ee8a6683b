---The end of a pipeline, on one screen: each step, what it did, how long it took.
local duration = require "migrator.lib.duration"

local COLOR = { ok = "green", failed = "red", skipped = "dim", ["not reached"] = "yellow" }

local function what(ctx, name)
  local results = ctx.results
  if name == "detect" and results.changed ~= nil then return results.changed and "changed" or "unchanged" end
  if name == "migrate" and results.migrate and results.migrate.outcome then
    return ("%d applied, %d pending"):format(#results.migrate.outcome.applied, #results.migrate.outcome.pending)
  end
  if name == "verify" and results.verdict then return ("%d findings"):format(#results.verdict.findings) end
  if name == "seed" and results.seeds then return ("%d tier(s)"):format(#results.seeds.results) end
  return ""
end

return function(ctx)
  local sink = ctx.sink
  local rows = { { "step", "result", "time", "" } }
  for _, record in ipairs(ctx.record) do
    if record.name ~= "report" then
      rows[#rows + 1] = { record.name, sink:paint("stdout", COLOR[record.status], record.status),
        record.elapsed > 0 and duration.format(record.elapsed) or "-", what(ctx, record.name) }
    end
  end
  sink:table(rows)
  sink:line(("%s in %s"):format(ctx.error and "Failed" or "Done", duration.format(ctx.elapsed)))
end
