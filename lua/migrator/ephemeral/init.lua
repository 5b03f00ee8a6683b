---A throw-away PostgreSQL: made from a cached template, reached through a socket in its own folder, gone without a
---trace.
---Whoever can reach the socket or the port is let in as superuser without a password. The socket's folder is private;
---the port, opened only when asked for, is on 127.0.0.1, where every user of the machine can reach it.
local boot = require "migrator.ephemeral.boot"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local find = require "migrator.ephemeral.find"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local host = require "migrator.core.host"
local process = require "migrator.core.process"

local M = {}

local LAYOUT = "1" -- part of the template's name: another initdb line makes another template
local SOCKET, SOCKET_MAX = "/.s.PGSQL.5432", 107 -- bytes of sun_path less its NUL
local START_SECONDS, GRACE_SECONDS, TRIES = 30, 5, 4
local FAST = { fsync = "off", synchronous_commit = "off", full_page_writes = "off", max_connections = "100",
  timezone = "UTC", log_timezone = "UTC", dynamic_shared_memory_type = "mmap", logging_collector = "off",
  cluster_name = "migrator-ephemeral" }

---@class migrator.Ephemeral
---@field url string what DATABASE_URL should be
---@field socket_url string
---@field port_url? string
---@field port? integer
---@field dir string its folder, which is also that of its socket
---@field pid integer
---@field version string such as "15.20"
local Server = {}
Server.__index = Server

-- Another user may not be able to enter our TMPDIR; a long one does not fit into a socket's address.
local function new_folder(user)
  local name = "migrator-pg-" .. hash.random_hex(6)
  local base = not user and host.environment().TMPDIR or ""
  base = base:gsub("/+$", "")
  if base:find("^/") and #base + 1 + #name + #SOCKET <= SOCKET_MAX and fs.find(base) then return base .. "/" .. name end
  return "/tmp/" .. name
end

local function server_options(dir, port)
  local out, names = {}, {}
  local settings = { unix_socket_directories = dir, listen_addresses = port and "127.0.0.1" or "",
    port = tostring(port or 5432) }
  for name, value in pairs(FAST) do settings[name] = value end
  for name in pairs(settings) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    out[#out + 1] = "-c"
    out[#out + 1] = name .. "=" .. settings[name]
  end
  return out
end

-- Nothing of ours but what a program needs: PGDATA, PGPORT and the like would speak to the server, and DATABASE_URL is
-- a secret.
local function server_environment()
  local given, out = host.environment(), { "LC_ALL=C", "HOME=/" }
  for _, name in ipairs { "PATH", "LD_LIBRARY_PATH" } do
    if given[name] then out[#out + 1] = name .. "=" .. given[name] end
  end
  return out
end

local function launch(plan, distrust)
  local family = hash.sha256(plan.programs):sub(1, 8)
  local cmd = { "/bin/sh", "-c", boot.START, "migrator-ephemeral", plan.dir, plan.cache, family,
    ("%s-%s-%s"):format(family, plan.version, LAYOUT), distrust and "1" or "", plan.programs }
  table.move(server_options(plan.dir, plan.port), 1, 64, #cmd + 1, cmd)
  return process.start { cmd = cmd, user = plan.user, cwd = "/", env = server_environment(), stop_signal = "INT",
    grace = GRACE_SECONDS, guard = true, after = { "/bin/sh", "-c", boot.CLEAN, "migrator-ephemeral", plan.dir } }
end

local function log_of(dir)
  local read, text = pcall(fs.read, dir .. "/log")
  if not read then return nil end
  local lines = {}
  for line in text:gmatch("[^\n]+") do lines[#lines + 1] = line end
  return table.concat(lines, "\n", math.max(1, #lines - 19))
end

local function socket_url(dir, port)
  return ("postgresql://postgres@/postgres?host=%s&port=%d"):format(dir, port or 5432)
end

local function answers(url)
  local db = require "migrator.db"
  local ok, err = pcall(function()
    local conn <close> = db.connect(url, { connect_timeout = 5 })
    return conn:value("select 1")
  end)
  if not ok and errors.is(err, "interrupted") then error(err, 0) end
  return ok, not ok and not err.retry and tostring(err) or nil
end

-- Returns nil and the end of its log when it exits instead, or lets nobody in.
local function await(child, plan)
  local socket = ("%s/.s.PGSQL.%d"):format(plan.dir, plan.port or 5432)
  local url, deadline, pause = socket_url(plan.dir, plan.port), clock.deadline(START_SECONDS), 0.004
  repeat
    if child:status() then return nil, log_of(plan.dir) or ("cannot make the folder " .. plan.dir) end
    if fs.find(socket) then
      local ready, refusal = answers(url)
      if ready then return true end
      if refusal then return nil, refusal end
    end
    child:try_wait(clock.deadline(pause))
    pause = math.min(0.05, pause * 1.2)
  until clock.now() > deadline
  errors.raise("timeout", { message = ("the throw-away PostgreSQL was not ready after %d s"):format(START_SECONDS),
    detail = log_of(plan.dir) })
end

local function attempt(plan, distrust)
  plan.dir = new_folder(plan.user)
  plan.port = plan.want_port and require("migrator.core.http").find_port() or nil
  local child = launch(plan, distrust)
  local ran, ready, log = pcall(await, child, plan)
  if ran and ready then return child end
  child:stop()
  if not ran then error(ready, 0) end
  return nil, log
end

-- A port can be lost to somebody between the look and the server's bind; a template can be damaged.
local function run(plan)
  local log, distrust
  for _ = 1, TRIES do
    local child
    child, log = attempt(plan, distrust)
    if child then return child end
    if not log:find("Address already in use", 1, true) then
      if distrust then break end
      distrust = true
    end
  end
  errors.raise("connect", { message = "the throw-away PostgreSQL ended before it was ready", detail = log,
    hint = "its log, above, says why" })
end

local function create_databases(server, names)
  if #names == 0 then return end
  local db = require "migrator.db"
  local conn <close> = db.connect(server.socket_url)
  for _, name in ipairs(names) do conn:exec("create database " .. require("migrator.core.sql").quote_ident(name)) end
end

---Starts a server. It ends, and its folder with it, when the handle is stopped, closed or collected, or when we die.
---Raises `config` when none is installed, `connect` when it exits at once, `timeout`.
---@param opts? { port?: boolean, databases?: string[], bin?: string }
---@return migrator.Ephemeral
function M.start(opts)
  opts = opts or {}
  local programs, user = find.programs(opts.bin), find.user()
  local plan = { programs = programs, user = user, version = find.version(programs), cache = find.cache(user),
    want_port = opts.port }
  local child = run(plan)
  local server = setmetatable({ child = child, pid = child:pid(), dir = plan.dir, port = plan.port,
    version = plan.version,
    socket_url = socket_url(plan.dir, plan.port) }, Server)
  if plan.port then
    server.port_url = ("postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable"):format(plan.port)
  end
  server.url = server.port_url or server.socket_url
  local ok, err = pcall(create_databases, server, opts.databases or {})
  if ok then return server end
  server:stop()
  error(err, 0)
end

---@return boolean
function Server:alive() return self.child:alive() end

---The end of its log.
---@return string?
function Server:log() return log_of(self.dir) end

---The URL of another database of this server.
---@param name string
---@return string
function Server:url_of(name)
  local words = require("migrator.lib.url_text").encode(name)
  return (self.url:gsub("/postgres%?", function() return "/" .. words .. "?" end))
end

---Stops it and removes its folder. Again is harmless.
function Server:stop() self.child:stop() end

Server.__close = Server.stop

---For --ephemeral: a server, and the configuration that points to it.
---@param config migrator.Config
---@param sink migrator.Sink
---@param opts? { port?: boolean }
---@return migrator.Config
---@return migrator.Ephemeral
function M.attach(config, sink, opts)
  local server = M.start(opts)
  sink:diagnostic("debug", ("throw-away PostgreSQL %s in %s"):format(server.version, server.dir))
  local values, origins, environment = {}, {}, {}
  for name, value in pairs(rawget(config, "values")) do values[name] = value end
  for name, origin in pairs(config.origins) do origins[name] = origin end
  for name, value in pairs(config.environment) do environment[name] = value end
  environment.DATABASE_URL, origins.url = server.url, "--ephemeral"
  values.url, values.origins, values.environment = server.url, origins, environment
  return setmetatable({ values = values }, getmetatable(config)), server
end

return M
