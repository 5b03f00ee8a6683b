---cloud-sql-proxy. Version 2 is meant; version 1 is told apart and driven as far as it goes: it has no connection test,
---no readiness, no quota project, and takes a token on its command line only.
local causes = require "migrator.proxies.cloud_sql_causes"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local flags = require "migrator.proxies.flags"
local is_loopback = require("migrator.lib.url").is_loopback
local process = require "migrator.core.process"

local M = {
  name = "cloud_sql", programs = { "cloud-sql-proxy", "cloud_sql_proxy" }, sslmode = "disable", causes = causes,
  options = { instance = "string!", quota_project = "string boolean", http_port = "port", connection_test = "boolean",
    token = "any", credentials_file = "string", impersonate = "string", endpoint = "string", private_ip = "boolean",
    psc = "boolean", iam_auth = "boolean", login_token = "any" },
}

local VERSION_SECONDS = 10

---The version of a program, by what it says of itself: `version 2.27.0`, or version 1's `Cloud SQL Proxy: …`.
---@param text string
---@return integer? major
---@return string? version
function M.version_of(text)
  local found = text:match("cloud%-sql%-proxy version (%d[%w.%-+]*)")
  if found then return tonumber(found:match("^%d+")), found end
  found = text:match("Cloud SQL Proxy: ([%w_.%-+]+)") or text:match("Cloud SQL Auth proxy: ([%w_.%-+]+)")
  if found then return 1, found end
end

-- A project may be of a domain: example.com:project:region:instance.
local function project_of(instance) return instance:match("^(.+):[^:]+:[^:]+$") end

---@param o table options
function M.check(o)
  if not project_of(o.instance) or o.instance:find("[%s,=?]") or o.instance:find("^%-") then
    errors.raise("config", { message = ("%q is not the name of a Cloud SQL instance"):format(o.instance),
      hint = "write instance = \"PROJECT:REGION:INSTANCE\"" })
  end
  local plain = o.endpoint and o.endpoint:match("^http://([^/:]+)")
  if o.endpoint and not o.endpoint:find("^https://[^/]") and not (plain and is_loopback(plain)) then
    errors.raise("config", { message = "steps.proxy: the endpoint must be https://, the token goes there" })
  end
  if o.token and o.credentials_file then
    errors.raise("config", { message = "steps.proxy: give token or credentials_file, not both" })
  end
end

---Asks the program which version it is.
---@return integer major
function M.examine(o)
  local ok, ran = pcall(process.run, { cmd = { o.program, "--version" }, stderr = "stdout",
    deadline = clock.deadline(VERSION_SECONDS) })
  if not ok then
    errors.raise("proxy", { message = ("cannot start %s: %s"):format(o.program, errors.is(ran) and ran.message or ran),
      hint = "install it (cloud.google.com/sql/docs/postgres/connect-auth-proxy), or name its path: `program`" })
  end
  local major, version = M.version_of(ran.stdout)
  if not major then
    errors.raise("proxy", { message = ("%s is not cloud-sql-proxy: it does not tell its version"):format(o.program),
      detail = ran.stdout:sub(1, 200), hint = "name the path of the program: `program`" })
  end
  o.major, o.version = major, version
  return major
end

local function command_one(o)
  local cmd = { o.program, ("-instances=%s=tcp:%s:%d"):format(o.instance, o.host, o.port) }
  local function add(flag, value) if value then cmd[#cmd + 1] = ("-%s=%s"):format(flag, value) end end
  add("host", o.endpoint and (o.endpoint:gsub("/*$", "/")))
  add("credential_file", o.credentials_file)
  add("ip_address_types", o.private_ip and "PRIVATE")
  add("token", o.token)
  return cmd, {}
end

---@return string[] cmd
---@return table<string, string|number|false> env
function M.command(o)
  if o.major == 1 then return command_one(o) end
  local cmd = { o.program }
  local function add(flag, value)
    if not value then return end
    cmd[#cmd + 1] = "--" .. flag
    if value ~= true then cmd[#cmd + 1] = value end
  end
  -- The addresses are said although they are the defaults: the environment (CSQL_PROXY_ADDRESS) would change them.
  add("address", o.host)
  add("port", o.port)
  add("health-check", true)
  add("http-address", "127.0.0.1")
  add("http-port", o.http_port)
  add("run-connection-test", o.connection_test ~= false)
  if o.quota_project == nil or o.quota_project == true then o.quota_project = project_of(o.instance) end
  add("quota-project", o.quota_project)
  add("sqladmin-api-endpoint", o.endpoint)
  add("credentials-file", o.credentials_file)
  add("impersonate-service-account", o.impersonate)
  add("private-ip", o.private_ip)
  add("psc", o.psc)
  add("auto-iam-authn", o.iam_auth)
  for _, word in ipairs(o.args or {}) do cmd[#cmd + 1] = word end
  cmd[#cmd + 1] = o.instance
  return cmd, { CSQL_PROXY_TOKEN = o.token, CSQL_PROXY_LOGIN_TOKEN = o.login_token }
end

-- A connection test alone has been seen to take 30 s.
local READY_SECONDS = 60

---@return migrator.ProxyReady
function M.ready(o)
  if o.major == 1 then return { log = "Ready for new connections" } end
  return { url = ("http://127.0.0.1:%d/readiness"):format(o.http_port), timeout = READY_SECONDS }
end

---Its ports besides the one of the database.
function M.more_ports(o) return { http_port = o.major ~= 1 } end

local TOKEN_FLAGS = { "--token", "-t", "-token", "--login-token", "--json-credentials", "-j" }

local function lint_two(found, add)
  if not found("--run-connection-test") then
    add("connection_test", "warning",
      "without --run-connection-test it calls itself ready before it ever reached the instance",
      "leave connection_test out, or add --run-connection-test")
  end
  if not found("--quota-project") then
    add("quota_project", "warning", "without --quota-project the API must be enabled in the identity's own project",
      "name the project of the instance: quota_project = \"…\", or --quota-project")
  end
  if found("--http-port") and not found("--health-check") and not found("--prometheus") then
    add("health_check", "warning", "--http-port is ignored without --health-check", "add --health-check")
  end
end

---@param cmd string[]
---@param o table options
---@param add fun(rule: string, severity: string, message: string, hint?: string)
function M.lint(cmd, o, add)
  local function found(...) return flags.find(cmd, ...) end
  if o.major == 1 or tostring(cmd[1]):find("cloud_sql_proxy$") then
    add("version_1", "warning", "this is cloud-sql-proxy version 1: no connection test, no readiness, no quota project",
      "install version 2")
    local address = flags.value(cmd, "-instances") or ""
    if address:find("=tcp:0%.0%.0%.0:") or address:find("=tcp:%[::%]:") then flags.wildcard(add) end
    if type(o.quota_project) == "string" then
      add("version_1_quota", "error", "version 1 knows no quota project", "install version 2, or quota_project = false")
    end
  else
    lint_two(found, add)
    local own = tostring(cmd[#cmd]):match("[?&]address=([^&]+)")
    if flags.is_wildcard(flags.value(cmd, "--address", "-a")) or flags.is_wildcard(own) then
      flags.wildcard(add)
    end
  end
  if found(table.unpack(TOKEN_FLAGS)) then
    add("token_in_argv", "error", "a token on the command line can be read by everybody on this machine",
      "give it as `token` (CSQL_PROXY_TOKEN); version 1 cannot take it otherwise: install version 2")
  end
  if o.iam_auth and o.token and not o.login_token then
    add("login_token", "error", "iam_auth with a token needs a login_token as well",
      "give login_token, or leave token out for the default credentials")
  end
  if o.sslmode and o.sslmode ~= "disable" then
    add("double_tls", "error",
      ("sslmode=%s would be TLS inside the proxy's own TLS, which instances cut off"):format(o.sslmode),
      "leave sslmode out: the way to the proxy stays on this machine")
  end
end

return M
