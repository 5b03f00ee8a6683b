---steps.detect { paths = {…} }: did this push touch what matters? Fails open; and the database beats git: with nothing
---changed the run still goes on to the database, and ends early, green, only if nothing is pending there either.
local changes = require "migrator.changes"
local options = require "migrator.steps.options"

local KNOWN = { paths = "table!", base = "string", head = "string", fetch = "boolean", database = "boolean",
  cwd = "string" }

return function(given)
  local opts = options.check("detect", given, KNOWN)
  return {
    name = "detect", gives = { "changes" }, options = opts,
    run = function(ctx)
      local found = changes.detect { paths = opts.paths, base = opts.base, head = opts.head, fetch = opts.fetch,
        cwd = opts.cwd,
        getenv = function(name) return ctx.config.environment[name] end }
      ctx:give("changes", found)
      ctx.results.changed = found.changed
      ctx.emit("note", { message = found.changed and ("changed: %s"):format(found.reason)
        or ("unchanged: %s"):format(found.reason) })
      if not found.changed and opts.database == false then
        ctx:stop("No migration/schema/seed changes detected --- skipping.")
      end
    end,
  }
end
