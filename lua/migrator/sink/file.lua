---The report as a JSON file, for whoever comes after: steps.report { "json:report.json" }.
local failure = require "migrator.sink.failure"
local fs = require "migrator.core.fs"
local mask = require "migrator.lib.mask"
local sink = require "migrator.sink"

return function(ctx, path)
  local document = { steps = sink.array {}, changed = ctx.results.changed,
    secrets = ctx.results.secrets and sink.array(ctx.results.secrets) or nil, migrate = ctx.results.document,
    duration_ms = math.floor(ctx.elapsed * 1000), error = ctx.error and failure.document(ctx.error) or nil }
  for i, record in ipairs(ctx.record) do
    document.steps[i] = { name = record.name, status = record.status, duration_ms = math.floor(record.elapsed * 1000) }
  end
  fs.write(path ~= "" and path or "report.json", mask.apply(sink.encode(document)) .. "\n")
end
