---steps.rls_audit { column = "organization_id", role = "app", … }: a table that does not keep the tenants apart stops the
---run.
local engine = require "migrator.engine"
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local rls = require "migrator.rls"

local KNOWN = { column = "string", schemas = "table", except = "table", role = "string", grants = "table",
  warn = "table" }

local function audit(ctx, opts)
  if ctx.conn then return rls.audit(ctx.conn, opts) end
  local conn <close> = engine.connect(ctx:config_for(nil, ctx.migrate_config), ctx.deadline)
  return rls.audit(conn, opts)
end

return function(given)
  local opts = options.check("rls_audit", given, KNOWN)
  local only_warned, asked = {}, {}
  for _, rule in ipairs(opts.warn or {}) do only_warned[rule] = true end
  for name, value in pairs(opts) do asked[name] = name ~= "warn" and value or nil end
  return {
    name = "rls_audit", needs = { "dsn" }, gives = { "rls" }, options = opts,
    run = function(ctx)
      local findings, first, count = audit(ctx, asked), nil, 0
      for _, finding in ipairs(findings) do
        local severity = only_warned[finding.rule] and "warning" or "error"
        ctx.sink:diagnostic(severity, ("%s: %s%s"):format(finding.rule, finding.message,
          finding.hint and "\n  hint: " .. finding.hint or ""))
        if severity == "error" then first, count = first or finding, count + 1 end
      end
      ctx.results.rls = findings
      ctx:give("rls", findings)
      if first then
        errors.raise("verify", { message = ("row-level security: %d finding(s), the first: %s"):format(count,
          first.message), hint = "mend them, except = { … } the table, or warn = { \"" .. first.rule .. "\" }" })
      end
      ctx.sink:line(#findings == 0 and "Row-level security: nothing found."
        or ("Row-level security: %d warning(s)."):format(#findings))
    end,
  }
end
