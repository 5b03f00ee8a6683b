---migrator test: a project's own specs, inside this program, against a throw-away database that has its migrations.
local blame = require "migrator.lib.blame"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local identity = require "migrator.identity"
local rls_globals = require "migrator.rls.globals"
local roles = require "migrator.rls.role"
local specs = require "migrator.specs"

local M = {}

-- db.exec(sql) and db:exec(sql) on the run's connection, and what the module itself has: db.connect, db.null, …
local function session_api(conn)
  local out = { identity = blame.guard(function() return identity.ask(conn) end, "db.identity") }
  return setmetatable(out, { __index = function(self, key)
    local method = db[key] == nil and conn[key]
    if type(method) ~= "function" then
      return type(db[key]) == "function" and blame.guard(db[key], "db." .. key) or db[key]
    end
    local name = key ~= "transaction" and "db." .. key or nil
    return blame.guard(function(first, ...)
      if rawequal(first, self) then return method(conn, ...) end
      return method(conn, first, ...)
    end, name, 1)
  end })
end

-- as_role("app_user", { ["app.tenant"] = "1" }, function(conn) … end): in a transaction that is always rolled back.
local function role_api(conn)
  local function as_role(role, vars, fn)
    if fn == nil then vars, fn = nil, vars end
    return roles.as_role(conn, role, vars, type(fn) == "function" and blame.guard(fn) or fn)
  end
  return blame.guard(as_role)
end

-- --crash-matrix: no specs, but the migrations themselves.
local function crash_matrix(config, sink, args)
  local limit = math.tointeger(tonumber(args.points or 400))
  if not limit or limit < 0 then errors.raise("usage", { message = "--points wants a whole number, 0 for all" }) end
  if #args.spec > 0 or args.filter then errors.raise("usage", { message = "--crash-matrix runs no specs" }) end
  local started = clock.now()
  local result = require("migrator.crash").run(config, sink, { after = args.after, limit = limit,
    progress = function(done, of, failures)
      sink:progress(("crash matrix: %d/%d points, %d failed"):format(done, of, failures))
    end })
  return require("migrator.crash.report").print(sink, result, clock.now() - started)
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { spec: string[], filter?: string, crash_matrix?: boolean, after?: string, points?: string }
function M.run(config, sink, args)
  if config.origins.url == "--url" then
    errors.raise("usage", { message = "migrator test takes no --url: it runs against a throw-away database only" })
  end
  if args.crash_matrix then return crash_matrix(config, sink, args) end
  if args.after or args.points then
    errors.raise("usage", { message = "--after and --points belong to --crash-matrix" })
  end
  local paths = #args.spec > 0 and args.spec or { "spec" }
  local settings, server <close> = ephemeral.attach(config, sink)
  require("migrator.core.host").setenv("DATABASE_URL", server.url)
  if fs.find(settings.dir .. "/meta/_journal.json") then require("migrator.app.ephemeral").migrate(settings, sink) end
  local conn <close> = db.connect(server.url, { application_name = "migrator test" })
  rawset(_G, "db", session_api(conn))
  rawset(_G, "as_role", role_api(conn))
  rawset(_G, "rls", rls_globals(function(given) return rawequal(given, _G.db) and conn or given end))
  package.path = "./?.lua;./?/init.lua;" .. package.path
  return specs.run { paths = paths, filter = args.filter, sink = sink }
end

return M
