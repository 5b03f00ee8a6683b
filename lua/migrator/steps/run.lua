---steps.run { cmd = {…} }: another program as a step; it must exit 0. DATABASE_URL in its environment is the one of this point.
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local process = require "migrator.core.process"

local KNOWN = { cmd = "table!", name = "string", cwd = "string", env = "table", timeout = "duration" }

return function(given)
  local opts = options.check("run", given, KNOWN)
  return {
    name = opts.name or tostring(opts.cmd[1]), options = opts,
    run = function(ctx)
      local clock = require "migrator.core.clock"
      local env = { DATABASE_URL = ctx:find("dsn") }
      for key, value in pairs(opts.env or {}) do env[key] = value end
      local deadline = opts.timeout and clock.deadline(opts.timeout) or nil
      if ctx.deadline then deadline = math.min(deadline or ctx.deadline, ctx.deadline) end
      local result = process.run { cmd = opts.cmd, cwd = opts.cwd, env = env, stdout = "capture", stderr = "stdout",
        deadline = deadline }
      if (result.stdout or "") ~= "" then ctx.sink:write(ctx.sink.json_mode and "stderr" or "stdout", result.stdout) end
      if result.code ~= 0 then
        errors.raise("script", { message = ("%s ended with %s"):format(opts.cmd[1],
          result.code and "exit code " .. result.code or "signal " .. tostring(result.signal)) })
      end
    end,
  }
end
