---steps.secret { name = "DATABASE_URL", from = "env:NAME" | "file:PATH" | "cmd:PROGRAM ARG…" }: a secret, hidden from
---then on in everything that is printed. One called DATABASE_URL gives the `dsn`.
local ci = require "migrator.ci"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local mask = require "migrator.lib.mask"
local options = require "migrator.steps.options"
local process = require "migrator.core.process"
local secrets = require "migrator.secrets"

local KNOWN = { name = "string!", from = "string!" }

local SOURCES = {}

function SOURCES.env(name, ctx)
  local value = ctx.config.environment[name]
  if not value or value == "" then
    local on_github = ctx.config.environment.GITHUB_ACTIONS == "true"
    errors.raise("config", { message = ("the environment variable %s is %s"):format(name,
      value and "empty" or "not set"),
      hint = on_github and ("give it to the step: `env: %s: ${{ secrets.%s }}`"):format(name, name)
        or ("set %s in the environment or in .env"):format(name) })
  end
  return value
end

function SOURCES.file(path) return fs.read(path, 65536) end

function SOURCES.cmd(line, ctx)
  local cmd = {}
  for word in line:gmatch("%S+") do cmd[#cmd + 1] = word end
  local result = process.run { cmd = cmd, stdout = "capture", stderr = "inherit", deadline = ctx.deadline }
  if result.code ~= 0 then
    errors.raise("config", { message = ("%s exited with %s"):format(cmd[1], result.code
      or ("signal " .. tostring(result.signal))) })
  end
  return result.stdout
end

return function(given)
  local opts = options.check("secret", given, KNOWN)
  local kind, rest = opts.from:match("^(%a+):(.+)$")
  if not SOURCES[kind or ""] then
    errors.raise("script", { message = ("steps.secret: from = %q is not env:…, file:… or cmd:…"):format(opts.from),
      step = "secret" })
  end
  return {
    name = "secret", gives = opts.name == "DATABASE_URL" and { "dsn", opts.name } or { opts.name }, options = opts,
    run = function(ctx)
      local value = SOURCES[kind](rest, ctx)
      if value:find("[\r\n]$") then
        value = value:gsub("[\r\n]+$", "")
        ctx.emit("note", { message = opts.name .. ": a newline at its end was taken off" })
      end
      if value == "" then errors.raise("config", { message = opts.name .. " is empty" }) end
      mask.add(value)
      secrets.hide_url(value)
      if ctx.config.environment.GITHUB_ACTIONS == "true" then ci.mask(value) end
      ctx:give(opts.name, value)
      if opts.name == "DATABASE_URL" then ctx:give("dsn", value) end
    end,
  }
end
