---migrator ephemeral: a throw-away PostgreSQL until Ctrl-C, or for as long as one program runs.
local ephemeral = require "migrator.ephemeral"
local errors = require "migrator.error"
local host = require "migrator.core.host"
local process = require "migrator.core.process"

local M = {}

---Applies the migrations of config to its database; only warnings are shown.
---@param config migrator.Config
---@param sink migrator.Sink
function M.migrate(config, sink)
  local engine = require "migrator.engine"
  local result = engine.migrate(config, function(name, data)
    if name == "warning" then sink:diagnostic("warning", data.message) end
  end, { deadline = engine.deadline(config) })
  if result.error then error(result.error, 0) end
end

-- On a terminal the program shares our process group, so that it may read from it and Ctrl-C is its own; elsewhere it has one
-- of its own, all of which ends with us.
local function run_program(server, words)
  local foreground = host.terminal("stdin") ~= nil
  local env = { DATABASE_URL = server.url, PGHOST = server.port and "127.0.0.1" or server.dir,
    PGPORT = tostring(server.port or 5432), PGUSER = "postgres", PGDATABASE = "postgres", PGHOSTADDR = false,
    PGPASSWORD = false, PGSERVICE = false, PGOPTIONS = false, PGSSLMODE = server.port and "disable" or false }
  return process.run({ cmd = words, env = env, stdin = "inherit", stdout = "inherit", stderr = "inherit",
    foreground = foreground, guard = not foreground, grace = 3 }).code
end

local function wait(server, sink)
  if sink.json_mode then
    sink:document { url = server.url, socket_url = server.socket_url, port_url = server.port_url, dir = server.dir,
      pid = server.pid, version = server.version }
  else
    sink:write("stdout", "DATABASE_URL=" .. server.url .. "\n")
  end
  sink:diagnostic("notice", ("PostgreSQL %s runs until Ctrl-C"):format(server.version))
  local ok, status = pcall(server.child.wait, server.child)
  if ok then
    errors.raise("connect", { message = ("the throw-away PostgreSQL ended by itself (code %d)"):format(status.code),
      detail = server:log() })
  end
  if errors.is(status, "interrupted") then return errors.exit_code(status) end -- how it is meant to end: no error to print
  error(status, 0)
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { port?: boolean, migrated?: boolean }
---@param parsed { rest?: string[] }
function M.run(config, sink, args, parsed)
  local words = parsed.rest
  if words and #words == 0 then
    errors.raise("usage", { message = "no program after --", hint = "migrator ephemeral -- psql" })
  end
  local settings, server <close> = ephemeral.attach(config, sink, { port = args.port })
  if args.migrated then M.migrate(settings, sink) end
  if words then return run_program(server, words) end
  return wait(server, sink)
end

return M
