---steps.drift { against = …, ignore = {…}, … }: `migrator drift` as a step: a schema that is not what the journal
---implies stops the run.
local drift = require "migrator.drift"
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local print_drift = require "migrator.drift.print"

local KNOWN = { against = "string", ignore = "table", grants = "boolean", comments = "boolean", warn = "boolean",
  dir = "string", schema = "string", table = "string" }

return function(given)
  local opts = options.check("drift", given, KNOWN)
  for _, pattern in ipairs(opts.ignore or {}) do
    if type(pattern) ~= "string" then
      errors.raise("script", { message = "steps.drift: ignore wants a list of patterns", step = "drift" })
    end
  end
  return {
    name = "drift", needs = { "dsn" }, gives = { "drift" }, options = opts,
    run = function(ctx)
      local config = ctx:config_for({ dir = opts.dir, schema = opts.schema, table = opts.table }, ctx.migrate_config)
      local found = drift.run(config, { against = opts.against, ignore = opts.ignore, grants = opts.grants,
        comments = opts.comments, deadline = ctx.deadline })
      for _, text in ipairs(found.warnings) do ctx.emit("warning", { message = text }) end
      ctx.results.drift = found
      ctx:give("drift", found)
      print_drift.differences(ctx.sink, found)
      if found.ok then return ctx.sink:line(print_drift.verdict(found)) end
      local ok, err = pcall(drift.refuse, found)
      if not ok and not opts.warn then error(err, 0) end
      ctx.emit("warning", { message = err.message })
    end,
  }
end
