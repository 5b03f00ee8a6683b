---steps.run { cmd = {…} }: another program as a step; it must exit 0. DATABASE_URL in its environment is the one of this point.
local ci = require "migrator.ci"
local errors = require "migrator.error"
local join = require("migrator.lib.tables").join
local options = require "migrator.steps.options"
local process = require "migrator.core.process"
local url_path = require "migrator.lib.url_path"

local KNOWN = { cmd = "table!", name = "string", cwd = "string", env = "table", timeout = "duration" }

return function(given)
  local opts = options.check("run", given, KNOWN)
  return {
    name = opts.name or tostring(opts.cmd[1]), options = opts,
    run = function(ctx)
      local clock = require "migrator.core.clock"
      local env = join(ctx.proxy and url_path.CLEAR or {}, { DATABASE_URL = ctx:find("dsn") }, opts.env or {})
      local deadline = opts.timeout and clock.deadline(opts.timeout) or nil
      if ctx.deadline then deadline = math.min(deadline or ctx.deadline, ctx.deadline) end
      local result = process.run { cmd = opts.cmd, cwd = opts.cwd, env = env, stdout = "capture", stderr = "stdout",
        deadline = deadline }
      if (result.stdout or "") ~= "" then
        ci.foreign(function(say) say(result.stdout) end,
          function(text) ctx.sink:write(ctx.sink.json_mode and "stderr" or "stdout", text) end)
      end
      if result.code ~= 0 then
        errors.raise("script", { message = ("%s ended with %s"):format(opts.cmd[1],
          result.code and "exit code " .. result.code or "signal " .. tostring(result.signal)) })
      end
    end,
  }
end
