---steps.proxy { cmd = {…}, port = 5432, … }: a program between us and the database, watched while the run lasts, always
---stopped, its log always shown. The URL is rewritten to go through it.
local ci = require "migrator.ci"
local options = require "migrator.steps.options"
local proxy = require "migrator.proxy"
local url = require "migrator.lib.url"

local KNOWN = { cmd = "table!", port = "number!", host = "string", log = "string", env = "table", ready = "table",
  grace = "duration",
  name = "string", sslmode = "string" }

local LOG_LINES = 40

local function dump(ctx, handle)
  local function print_log(write) proxy.dump(handle, write, LOG_LINES) end
  if ctx.config.environment.GITHUB_ACTIONS == "true" then
    ci.group("proxy log")
    ci.foreign(function(write) print_log(function(line) write(line .. "\n") end) end)
    ci.endgroup()
  else
    print_log(function(line) ctx.sink:diagnostic("info", "proxy: " .. line) end)
  end
end

return function(given)
  local opts = options.check("proxy", given, KNOWN)
  local host = opts.host or "127.0.0.1"
  return {
    name = opts.name or "proxy", needs = { "dsn" }, gives = { "proxy" }, options = opts,
    run = function(ctx)
      local dsn, info = url.rewrite(ctx:need("dsn"), { host = host, port = math.tointeger(opts.port),
        sslmode = opts.sslmode or "disable" })
      for _, notice in ipairs(info.notices) do ctx.emit("note", { message = notice }) end
      ctx.proxy = proxy.start { name = opts.name or "proxy", cmd = opts.cmd, log = opts.log, env = opts.env,
        ready = opts.ready,
        grace = opts.grace, ports = { math.tointeger(opts.port) } }
      ctx:give("proxy", ctx.proxy)
      ctx:give("dsn", dsn)
    end,
    undo = function(ctx, err)
      if not ctx.proxy then
        if err then ctx.sink:diagnostic("info", "No proxy log found") end
        return
      end
      ctx.proxy:stop()
      if err or ctx.sink.verbose or ctx.config.environment.CI then dump(ctx, ctx.proxy) end
    end,
  }
end
