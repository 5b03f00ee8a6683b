---A real server that is in recovery: a cluster of its own, started as a standby, with or without the primary that it
---follows.
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local errors = require "migrator.error"
local http = require "migrator.core.http"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local M = {}

local HBA = "local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"

-- The server refuses to be root.
local function as_server(cmd)
  if process.run({ cmd = { "id", "-u" } }).stdout ~= "0\n" then return cmd end
  return { "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", table.unpack(cmd) }
end

local function run(cmd)
  local ran = process.run { cmd = as_server(cmd), deadline = clock.deadline(60) }
  if ran.code ~= 0 then errors.raise("script", { message = cmd[1] .. ": " .. ran.stderr }) end
end

local function start(dir, port)
  local child = process.start { cmd = as_server { pg.program "postgres", "-D", dir, "-p", tostring(port), "-k", "",
    "-h", "127.0.0.1", "-c", "fsync=off", "-c", "wal_level=replica", "-c", "max_wal_senders=4" },
    log = tmp.dir() .. "/log", stop_signal = "INT", grace = 10 }
  local url = ("postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable"):format(port)
  wait.till(function() return db.ping(url) == "accepting" end, 30)
  return child, url
end

---Makes a cluster, lets `prepare` fill it, and starts it, or a copy that follows it, in recovery.
---@param follows boolean is there a primary?
---@param prepare fun(url: string)
---@return { url: string, primary: string|nil, stop: fun() }
function M.start(follows, prepare)
  local base = tmp.dir {}
  process.run { cmd = { "chmod", "0777", base } }
  local data, port = base .. "/primary", http.find_port()
  run { pg.program "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C" }
  run { "sh", "-c", "cat > " .. data .. "/pg_hba.conf <<'.'\n" .. HBA .. "." }
  local primary, url = start(data, port)
  prepare(url)
  if not follows then
    primary:stop()
    run { "touch", data .. "/standby.signal" }
    local child, there = start(data, port)
    return { url = there, stop = function() child:stop() end }
  end
  local copy = base .. "/standby"
  run { pg.program "pg_basebackup", "-d", url, "-D", copy, "-R", "-X", "stream", "-c", "fast", "--no-sync" }
  local child, there = start(copy, http.find_port())
  return { url = there, primary = url, stop = function()
    child:stop()
    primary:stop()
  end }
end

return M
