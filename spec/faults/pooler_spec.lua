local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local http = require "migrator.core.http"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local PROGRAM = process.find "pgbouncer" or process.find "/usr/sbin/pgbouncer"

-- PgBouncer refuses to be root, as the server does.
local function command(ini)
  local id = process.run { cmd = { "id", "-u" } }.stdout
  local cmd = { PROGRAM, "-q", ini }
  if id ~= "0\n" then return cmd end
  return { "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", table.unpack(cmd) }
end

---@return migrator.Process
---@return fun(url: string): string the same database through the pool
local function start(mode, size)
  local port, ini = http.find_port(), tmp.dir() .. "/pgbouncer.ini"
  local server = pg.server()
  fs.write(ini, ([[
[databases]
* = host=%s port=%d user=postgres pool_size=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
ignore_startup_parameters = options, extra_float_digits
]]):format(server.dir, server.port or 5432, size, port, mode))
  process.run { cmd = { "chmod", "-R", "a+rX", (ini:match "^(.*)/") } }
  local child = process.start { cmd = command(ini), log = tmp.dir() .. "/log" }
  local function through(url)
    return ("postgresql://postgres@127.0.0.1:%d/%s?sslmode=disable"):format(port, url:match "migrator_test_%x+")
  end
  wait.till(function()
    return db.ping(through(pg.server():url_of "migrator_test_0")) == "accepting"
  end, 10)
  return child, through
end

local LOG = "create table log as select current_setting('lock_timeout') as lock, "
  .. "current_setting('statement_timeout') as statement"

describe("migrate through a pool in session mode", function()
  for size = 1, 4, 3 do
    it(("R44 R50 is applied once by three runs, with its limits, by a pool of %d"):format(size), function()
      if not PROGRAM then return pending "needs pgbouncer" end
      local url, dir = pg.database(), project.write { { "0000_a", LOG }, { "0001_b", "insert into log values (1, 1)" } }
      local pooler <close>, through = start("session", size) -- luacheck: ignore pooler
      local runs = {}
      for i = 1, 3 do
        local log = tmp.dir() .. "/log"
        runs[i] = { log = log, child = cli.start { "migrate", "--dir", dir, "--url", through(url),
          "--lock-timeout", "7s", "--statement-timeout", "77s", log = log } }
      end
      local applied = 0
      for _, run in ipairs(runs) do
        assert.equal(0, run.child:wait(clock.deadline(40)).code, fs.read(run.log))
        applied = applied + tonumber(fs.read(run.log):match "Applied (%d+) new")
      end
      local conn <close> = db.connect(url)
      local row = conn:row([[select count(*) as rows, min(lock) filter (where lock <> '1') as lock,
        max(statement) as statement from log]])
      assert.same({ 2, 2, "7s", "77s" }, { applied, row.rows, row.lock, row.statement })
    end)
  end

  it("is refused by a pool in transaction mode, whatever its size", function()
    if not PROGRAM then return pending "needs pgbouncer" end
    for _, size in ipairs { 1, 4 } do
      local url, dir = pg.database(), project.write { { "0000_a", LOG } }
      local pooler <close>, through = start("transaction", size) -- luacheck: ignore pooler
      local ran = cli.run { "migrate", "--dir", dir, "--url", through(url) }
      assert.equal(2, ran.code)
      assert.matches("transaction-mode pooler", ran.stderr, 1, true)
    end
  end)
end)
