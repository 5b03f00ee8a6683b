---What a user's script sees: the public API is what this file names.
local blame = require "migrator.lib.blame"
local ci = require "migrator.ci"
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local core_fs = require "migrator.core.fs"
local closed = require "migrator.lib.closed"
local db = require "migrator.db"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local lazy = require "migrator.lib.lazy"
local http = require "migrator.core.http"
local journal = require "migrator.journal"
local json = require "migrator.lib.json"
local mask = require "migrator.lib.mask"
local pipeline = require "migrator.pipeline"
local policy = require "migrator.policy"
local process = require "migrator.core.process"
local proxy = require "migrator.proxy"
local rls_globals = require "migrator.rls.globals"
local sandbox = require "migrator.sandbox"
local seeds = require "migrator.seed"
local sink_module = require "migrator.sink"
local steps = require "migrator.steps"
local url = require "migrator.lib.url"

local catalog = lazy.require "migrator.drift.catalog"
local gcp = lazy.require "migrator.gcp"
local identity = lazy.require "migrator.identity"
local secrets = lazy.require "migrator.secrets"

local M = {}

local function make_env(config)
  local functions = {}
  function functions.get(name, default)
    local value = config.environment[name]
    if value == nil then return default end
    return value
  end
  function functions.require(name)
    local value = config.environment[name]
    if value and value ~= "" then return value end
    errors.raise("config", { message = ("the environment variable %s is not set"):format(name) })
  end
  function functions.load_if_exists(path)
    local found = require("migrator.env").load_if_exists(path,
      { getenv = function(name) return config.environment[name] end })
    for key, value in pairs(found or {}) do config.environment[key] = value end
    return found ~= nil
  end
  return setmetatable(functions, { __index = function(_, name) return config.environment[name] end,
    __newindex = function() error("env is read-only", 2) end })
end

---A transaction catches what fn raises, so the line is found before that.
---@param transaction fun(fn: function, opts?: table): any
function M.transaction(transaction)
  local guarded = blame.guard(transaction)
  return function(fn, opts)
    if type(fn) ~= "function" then
      error(("bad argument #1 to 'db.transaction' (function expected, got %s)"):format(type(fn)), 2)
    end
    return guarded(blame.guard(fn), opts)
  end
end

---`db` with the run's connection behind db.exec and its kin, opened when first used.
local function make_db(config, run)
  local function conn()
    if not run.conn or run.conn:status() == "closed" then run.conn = engine.connect(config, run.deadline) end
    return run.conn
  end
  local out = { null = db.null, connect = blame.guard(function(target, opts)
    return db.connect(target or require("migrator.config").need_url(config), opts)
  end, "db.connect") }
  for _, name in ipairs { "ping", "try_connect", "array", "json", "bytea", "ident", "literal" } do
    out[name] = blame.guard(db[name], "db." .. name)
  end
  for _, name in ipairs { "exec", "script", "row", "value", "query", "copy_in", "copy_out", "copy_rows",
    "batch", "notices" } do
    out[name] = blame.guard(function(...)
      local session = conn()
      return session[name](session, ...)
    end, "db." .. name, 1)
  end
  out.transaction = M.transaction(function(...) return conn():transaction(...) end)
  run.session = function(given) return rawequal(given, out) and conn() or given end
  out.catalog = blame.guard(function(given, opts)
    local asked = { schema = config.schema, table = config.table }
    for name, value in pairs(opts or {}) do asked[name] = value end
    return catalog.take((given == nil or rawequal(given, out)) and conn() or given, asked)
  end, "db.catalog")
  out.identity = blame.guard(function() return identity.ask(conn()) end, "db.identity")
  return out
end

local function make_secrets(config, sink, run)
  local function get(reference, given)
    local value, info = secrets.get(reference, { environment = config.environment, deadline = run.deadline,
      given = given, note = function(text) sink:diagnostic("info", "secret: " .. text) end })
    return value, info.version
  end
  return closed("secrets", { get = blame.guard(get, "secrets.get"),
    scheme = blame.guard(function(...) return secrets.scheme(...) end, "secrets.scheme") })
end

local function make_gcp(config, sink, run)
  local function options(given)
    local out = { environment = config.environment, deadline = run.deadline,
      note = function(text) sink:diagnostic("info", text) end }
    for name, value in pairs(given or {}) do out[name] = value end
    return out
  end
  return closed("gcp", { source = blame.guard(function(given) return gcp.source(options(given)) end, "gcp.source"),
    use = blame.guard(function(source) return gcp.use(source) end, "gcp.use"),
    token = blame.guard(function(deadline)
      return gcp.current(options()):token(deadline or run.deadline)
    end, "gcp.token") })
end

local function make_log(sink)
  local out = {}
  for _, severity in ipairs { "debug", "info", "notice", "warning", "error" } do
    out[severity] = function(format, ...)
      sink:diagnostic(severity, select("#", ...) > 0 and tostring(format):format(...) or tostring(format))
    end
  end
  out.warn = out.warning
  out.print = function(text) sink:line(tostring(text)) end
  return out
end

local function make_confirm()
  return { phrase = function(expected, given)
    if given == expected then return true end
    errors.raise("usage", { message = given and "the confirmation does not match" or "this needs a confirmation",
      hint = ("give exactly %q"):format(expected) })
  end }
end

local function make_seed(config, sink, run)
  return { run = function(tiers)
    local conn <close> = engine.connect(config, run.deadline)
    return seeds.run(config, conn, tiers, sink)
  end }
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param run { conn?: migrator.Conn, deadline?: number, args?: string[], path?: string }
---@return table<string, any>
function M.globals(config, sink, run)
  local script_db = make_db(config, run)
  if sink.json_mode then -- standard output is a document then; the runner reads the other one as well
    ci.use { write = function(text) require("migrator.core.host").write("stderr", text) end }
  end
  return {
    db = script_db, rls = rls_globals(run.session), journal = journal, proxy = proxy,
    process = blame.guard_all(process, "process"),
    http = blame.guard_all(http, "http"),
    json = { encode = sink_module.encode, decode = json.decode, null = cjson.null, array = sink_module.array },
    env = make_env(config), log = make_log(sink), fs = blame.guard_all(core_fs, "fs"),
    clock = clock, url = url, ci = ci,
    secrets = make_secrets(config, sink, run), gcp = make_gcp(config, sink, run),
    git = { changed = require("migrator.changes").detect }, seed = make_seed(config, sink, run),
    pipeline = blame.guard(pipeline.make, "pipeline"), steps = closed("steps", blame.guard_all(steps, "steps")),
    policy = policy, confirm = blame.guard_all(make_confirm(), "confirm"), mask = mask.add, arg = run.args or {},
  }
end

---@return table env
function M.environment(config, sink, run)
  return sandbox.new(M.globals(config, sink, run), { folder = run.path and (run.path:match("^(.*)/[^/]*$") or ".")
    or ".",
    unsafe = config.unsafe, print = function(text) sink:line(text) end })
end

return M
