---steps.proxy { "cloud_sql", … } or { cmd = {…}, port = 5432, … }: a program between us and the database, looked over before
---it starts, watched while the run lasts, always stopped, its log always shown. The URL is rewritten to go through it.
local ci = require "migrator.ci"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local groups = require "migrator.sink.groups"
local join = require("migrator.lib.tables").join
local lazy = require "migrator.lib.lazy"
local options = require "migrator.steps.options"
local proxies = lazy.require "migrator.proxies"
local proxy = require "migrator.proxy"
local setup = lazy.require "migrator.proxies.setup"
local url = require "migrator.lib.url"
local ways_in = require "migrator.lib.ways_in"

local KNOWN = { port = "port", host = "string", log = "string", env = "table", ready = "table", grace = "duration",
  name = "string", sslmode = "string", allow = "table" }
local WITH_COMMAND = { cmd = "table!", port = "port!" }
local WITH_PRESET = { preset = "string!", program = "string", args = "table", user = "string" }

local LOG_LINES, TOKEN_SECONDS = 200, 60 -- so many lines are shown; the file has the others
local DYING_SECONDS = 0.3 -- between its last byte and its end

local function print_log(ctx)
  local sink, handle, environment = ctx.sink, ctx.proxy, ctx.config.environment
  local close = groups.open(sink, environment, "proxy log", true)
  if environment.GITHUB_ACTIONS == "true" then
    -- With --json standard output is one document; the runner reads both.
    local function write(text) sink:write(sink.json_mode and "stderr" or "stdout", text) end
    ci.foreign(function(say) proxy.dump(handle, function(line) say(line .. "\n") end, LOG_LINES) end, write)
  else
    proxy.dump(handle, function(line) sink:diagnostic("info", "proxy: " .. line) end, LOG_LINES)
  end
  if close then close() end
end

---A token as text: given, made by a function, or of a source of credentials such as steps.auth gives.
local function resolve_token(ctx, given)
  if given == nil or given == false then return nil end
  local deadline = math.min(clock.deadline(TOKEN_SECONDS), ctx.deadline or math.huge)
  if type(given) == "function" then given = given(deadline) end
  if type(given) == "table" and type(given.token) == "function" then given = given:token(deadline) end
  if type(given) ~= "string" or given == "" or given:find("[%s%c]") then
    errors.raise("config", { message = "steps.proxy: the token is not one", hint = "give a text, a function that "
      .. "returns one, or nothing: steps.auth before it has one" })
  end
  ci.mask(given)
  return given
end

---What steps.auth found out is used where the options say nothing.
local function take_auth(ctx, o)
  local auth = ctx:find("auth")
  if auth and o.token == nil and not o.credentials_file then o.token = auth end
  if auth and o.quota_project == nil then o.quota_project = auth.quota_project end
  local endpoints = auth and auth.cx and auth.cx.endpoints
  if endpoints and endpoints.explicit and endpoints.explicit.sqladmin then
    o.endpoint = o.endpoint or endpoints.sqladmin
  end
  o.token, o.login_token = resolve_token(ctx, o.token), resolve_token(ctx, o.login_token)
end

---What was said of the options need not be said again of the command line that came of them.
local function warn(ctx, opts)
  return function(text)
    if opts.said[text] then return end
    opts.said[text] = true
    ctx.emit("warning", { message = "proxy: " .. text })
  end
end

local function run(ctx, opts)
  local from, o, say = ctx:need("dsn"), join(opts), warn(ctx, opts)
  if opts.known and opts.known.options.token then take_auth(ctx, o) end
  local what = setup.build(o, from, say)
  local dsn, info = url.rewrite(from, { host = opts.host or "127.0.0.1", port = what.port,
    sslmode = opts.sslmode or setup.sslmode(opts.known, from, say) })
  for _, notice in ipairs(info.notices) do ctx.emit("note", { message = notice }) end
  local has_token = o.token or opts.known and not opts.known.options.token
  ctx.proxy = proxy.start { name = what.name, cmd = what.cmd, log = opts.log,
    env = join(ways_in.withheld(ctx.config.environment, has_token), what.env),
    ready = what.ready, causes = what.causes, grace = opts.grace, ports = { what.port }, user = what.user }
  ctx:give("proxy", ctx.proxy)
  ctx:give("dsn", dsn)
end

---What failed because the proxy died says so: the lost connection is only how it was noticed, and may be noticed first.
local function blame(ctx, err)
  if not errors.is(err) or err.code == "proxy" then return end
  local lost = err.code == "connect" or err.code == "timeout" or (err.sqlstate or ""):find("^08")
  if not lost then return end
  ctx.proxy:try_wait(clock.deadline(DYING_SECONDS))
  local said, reason = ctx.proxy:epitaph()
  if not said then return end
  err.detail = (err.detail and err.detail .. "\n" or "") .. said
  err.hint = reason and reason.hint or "the proxy ended during the run: its log, above, says why"
end

local function undo(ctx, err)
  if not ctx.proxy then return err and print_log(ctx) end
  if err then blame(ctx, err) end
  local stopped, why = pcall(ctx.proxy.stop, ctx.proxy)
  print_log(ctx)
  if not stopped then error(why, 0) end
end

return function(given)
  given = type(given) == "table" and join(given) or given
  if type(given) == "table" and given[1] then given.preset, given[1] = given[1], nil end
  local preset = type(given) == "table" and given.preset and proxies.get(given.preset) or nil
  local opts = options.check("proxy", given, preset and join(preset.options, KNOWN, WITH_PRESET)
    or join(KNOWN, WITH_COMMAND))
  opts.known, opts.said = preset, {}
  return {
    name = opts.name or "proxy", needs = { "dsn" }, gives = { "proxy" }, options = opts,
    check = function(ctx) setup.check(opts, warn(ctx, opts)) end,
    run = function(ctx) run(ctx, opts) end,
    undo = undo,
  }
end
