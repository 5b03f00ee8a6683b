---From the options of a step to what is started: a command line of somebody's own as it is, a preset's with everything
---that was left open found out.
local errors = require "migrator.error"
local join = require("migrator.lib.tables").join
local proxies = require "migrator.proxies"
local url = require "migrator.lib.url"

local M = {}

---Where a pipe leads when nobody says: to where the URL does.
local function target_of(dsn)
  local words = url.conninfo(dsn)
  local host, port = words.host or words.hostaddr, words.port or "5432"
  if not host or host == "" or host:find(",", 1, true) then
    errors.raise("config", { message = "steps.proxy: where to is not known: the URL does not name one host",
      hint = "give target = \"HOST:PORT\"" })
  end
  return host:find("^/") and ("%s/.s.PGSQL.%s"):format(host, port) or ("%s:%s"):format(host, port)
end

---Through a pipe into another network TLS goes on as the URL asks; the name in a certificate is not 127.0.0.1.
---@param preset migrator.ProxyPreset?
---@param dsn string
---@param warn fun(text: string)
---@return string
function M.sslmode(preset, dsn, warn)
  if not preset or not preset.pipe then return "disable" end
  local asked = url.conninfo(dsn).sslmode
  if asked ~= "verify-ca" and asked ~= "verify-full" then return asked or "prefer" end
  warn(("sslmode=%s became require: through the proxy the server's name cannot be checked"):format(asked))
  return "require"
end

-- Ports that are chosen later do not matter to the lint.
local function draft(opts)
  return join(opts, { host = opts.host or "127.0.0.1", port = opts.port or 1,
    http_port = opts.http_port or 2, target = opts.target or "x:1", token = opts.token and "-",
    login_token = opts.login_token and "-", program = opts.program or opts.known.programs[1] })
end

---What can be said of the options before anything runs. Raises `config` for what would fail or do harm.
---@param opts table of the step; `known` is its preset
---@param warn fun(text: string)
function M.check(opts, warn)
  local preset = opts.known or proxies.of_command(opts.cmd)
  if not preset then return end
  if opts.known then proxies.check(preset, opts) end
  local o = opts.known and draft(opts) or opts
  proxies.insist(proxies.lint(preset, opts.cmd or preset.command(o), o), warn)
end

local function plain(opts)
  local preset = proxies.of_command(opts.cmd)
  return { cmd = opts.cmd, env = opts.env or {}, port = opts.port, ready = opts.ready,
    causes = preset and preset.causes, name = opts.name or "proxy" }
end

---What to start; of a preset its version is asked and its ports are chosen.
---@param opts table of the step, with its tokens as texts
---@param dsn string
---@param warn fun(text: string)
---@return { cmd: string[], env: table, port: integer, ready: table?, causes: table?, name: string, user: string? }
function M.build(opts, dsn, warn)
  local preset, o = opts.known, join(opts)
  if not preset then return plain(opts) end
  o.program = o.program or preset.programs[1]
  if preset.examine then preset.examine(o) end
  proxies.choose_ports(preset, o)
  if preset.options.target then o.target = o.target or target_of(dsn) end
  local cmd, env = preset.command(o)
  if o.major then proxies.insist(proxies.lint(preset, cmd, o), warn) end
  return { cmd = cmd, env = join(env, o.env or {}), port = o.port, ready = join(preset.ready(o), o.ready or {}),
    causes = preset.causes, name = o.name or o.program:match("[^/]*$"), user = o.user }
end

return M
