---steps.preflight { … }: all that a run would stumble over, looked at before the first change: every check of
---`migrator doctor`, and the roles, extensions and free connections that the script names. The first failure is the
---error; its mend is the hint.
local doctor = require "migrator.doctor"
local errors = require "migrator.error"
local identity = require "migrator.identity"
local options = require "migrator.steps.options"

local KNOWN = { dir = "string", schema = "string", table = "string", roles = "table", extensions = "table",
  connections = "number", expect = "table" }

local function names_of(given, what)
  for _, name in ipairs(given or {}) do
    if type(name) ~= "string" or name == "" then
      errors.raise("script", { message = ("steps.preflight: %s wants a list of names"):format(what),
        step = "preflight" })
    end
  end
  return given or {}
end

local function line(check) return check.mend and check.message .. "\n  -> " .. check.mend or check.message end

local function refuse(failed)
  local others = {}
  for i = 2, #failed do others[#others + 1] = failed[i].name .. ": " .. line(failed[i]) end
  errors.raise(failed[1].code or "config", { message = ("preflight: %s: %s"):format(failed[1].name, failed[1].message),
    hint = failed[1].mend, state = "nothing was changed",
    detail = others[1] and ("also:\n%s"):format(table.concat(others, "\n")) or nil })
end

return function(given)
  local opts = options.check("preflight", given, KNOWN)
  local wants = { roles = names_of(opts.roles, "roles"), extensions = names_of(opts.extensions, "extensions"),
    connections = opts.connections or doctor.CONNECTIONS, expect = opts.expect }
  identity.check_expected("preflight", opts.expect)
  return {
    name = "preflight", needs = { "dsn" }, gives = { "preflight" }, options = opts,
    run = function(ctx)
      wants.deadline = ctx.deadline
      local checks = doctor.run(ctx:config_for { dir = opts.dir, schema = opts.schema, table = opts.table }, wants)
      local failed, warned = {}, 0
      for _, check in ipairs(checks) do
        if check.status == "fail" then
          failed[#failed + 1] = check
        elseif check.status == "warn" then
          warned = warned + 1
          ctx.emit("warning", { message = ("%s: %s"):format(check.name, line(check)) })
        end
      end
      ctx.results.preflight = checks
      if failed[1] then refuse(failed) end
      ctx.emit("note", { message = ("preflight: %d checks, %d of them with a warning"):format(#checks, warned) })
      ctx:give("preflight", checks)
    end,
  }
end
