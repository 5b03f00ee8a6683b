---PgBouncer, started for the run with a configuration of yours: it must pool sessions, not transactions.
local flags = require "migrator.proxies.flags"
local fs = require "migrator.core.fs"

local M = {
  name = "pgbouncer", programs = { "pgbouncer" }, pipe = true,
  options = { config = "string!" }, port_needed = true,
}

local CONFIG_BYTES = 1 << 20

M.causes = {
  { name = "as_root", config = true, patterns = { "should not run as root" }, why = "it does not run as root",
    hint = "give user = \"postgres\", or run as somebody else" },
  { name = "bad_config", config = true, patterns = { "ERROR (.-cannot load .+)", "could not load file \"([^\"]+)\"",
    "syntax error in configuration (.+)", "cannot load config file" },
    why = "its configuration cannot be used ({1})", hint = "see its log" },
  { name = "port_in_use", patterns = { "cannot listen on ([%d.:]+): bind%(%): Address already in use" },
    why = "its port is in use by another program ({1})", hint = "take another listen_port" },
  { name = "server_login", patterns = { "server login failed: (.+)", "auth failed: (.+)" },
    why = "the server behind it refused the login ({1})", hint = "see auth_file and [databases] of its configuration" },
  { name = "server_unreachable", passing = true, patterns = { "connect failed.*%((.+)%)", "server conn crashed%?",
    "connect failed" }, why = "the server behind it cannot be reached ({1})",
    hint = "see [databases] of its configuration" },
}

function M.command(o)
  local cmd = { o.program }
  for _, word in ipairs(o.args or {}) do cmd[#cmd + 1] = word end
  cmd[#cmd + 1] = o.config
  return cmd, {}
end

function M.ready(o) return { log = "process up", port = o.port } end

local function settings(text)
  local out, section = {}, nil
  for line in text:gmatch("[^\r\n]+") do
    section = line:match("^%s*%[(%w+)%]") or section
    local key, value = line:match("^%s*(%S+)%s*=%s*(.-)%s*$")
    if key and section == "pgbouncer" then out[key] = value end
    if key and section == "databases" and value:find("pool_mode=[ts]%w*") and not value:find("pool_mode=session") then
      out.pool_mode = "transaction"
    end
  end
  return out
end

function M.lint(cmd, o, add)
  local path = o.config or cmd[#cmd]
  local read, text = pcall(fs.read, path, CONFIG_BYTES)
  if not read or type(text) ~= "string" then return end
  local found = settings(text)
  if found.pool_mode and found.pool_mode ~= "session" then
    add("pool_mode", "error", ("pool_mode=%s gives a session's locks and settings to somebody else")
      :format(found.pool_mode), "pool_mode = session, in a configuration of its own for migrations")
  end
  if flags.is_wildcard(found.listen_addr) then flags.wildcard(add) end
  if o.port and found.listen_port and tonumber(found.listen_port) ~= tonumber(o.port) then
    add("listen_port", "error", ("its configuration says listen_port = %s, the step port = %d")
      :format(found.listen_port, o.port), "make them the same")
  end
end

return M
