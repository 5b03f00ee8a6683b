local cjson = require "cjson"
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

---@param more? string[] other lines of its configuration, in place of the one that lets our options pass
---@return migrator.Process
---@return fun(url: string, more?: string): string the same database through the pool
local function start(mode, size, more)
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
%s
]]):format(server.dir, server.port or 5432, size, port, mode,
    table.concat(more or { "ignore_startup_parameters = options, extra_float_digits" }, "\n")))
  process.run { cmd = { "chmod", "-R", "a+rX", (ini:match "^(.*)/") } }
  local child = process.start { cmd = command(ini), log = tmp.dir() .. "/log" }
  local function through(url, words)
    return ("postgresql://postgres@127.0.0.1:%d/%s?sslmode=disable%s"):format(port, url:match "migrator_test_%x+",
      words or "")
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

  local OURS = "select count(*)::int from pg_locks l join pg_database d on d.oid = l.database "
    .. "where d.datname = current_database() and l.locktype = 'advisory'"

  for _, case in ipairs { { "transaction", 1 }, { "transaction", 4 }, { "statement", 1 }, { "statement", 4 },
    { "transaction", 4, { "server_round_robin = 1", "ignore_startup_parameters = options" } } } do
    it(("R60 is refused before any lock by a pool of %d in %s mode%s"):format(case[2], case[1],
      case[3] and ", round robin" or ""), function()
      if not PROGRAM then return pending "needs pgbouncer" end
      local url, dir = pg.database(), project.write { { "0000_a", LOG } }
      local pooler <close>, through = start(case[1], case[2], case[3]) -- luacheck: ignore pooler
      local ran = cli.run { "migrate", "--dir", dir, "--url", through(url) }
      assert.equal(2, ran.code, ran.stderr)
      assert.matches("a transaction-mode pooler is between us and the server", ran.stderr, 1, true)
      assert.matches("hint: connect to the server itself (usually port 5432)", ran.stderr, 1, true)
      local named = cli.run { "migrate", "--dir", dir, "--url", through(url, "&pgbouncer=true") }
      assert.equal(2, named.code, named.stderr)
      local conn <close> = db.connect(url)
      assert.same({ false, 0 }, { conn:value "select exists (select 1 from pg_tables where tablename = 'log')",
        conn:value(OURS) })
      local doctor = cli.run { "doctor", "--dir", dir, "--url", through(url) }
      assert.matches("transaction%-mode pooler", doctor.stdout .. doctor.stderr)
      local status = cjson.decode(cli.run({ "status", "--json", "--dir", dir, "--url", through(url) }).stdout)
      assert.equal("transaction", status.server.kind)
    end)
  end

  it("R60 is refused by its name too where the session is open already", function()
    if not PROGRAM then return pending "needs pgbouncer" end
    local url, dir = pg.database(), project.write { { "0000_a", LOG } }
    local pooler <close>, through = start("transaction", 4) -- luacheck: ignore pooler
    tmp.write(dir .. "/p.lua", "return pipeline { steps = { steps.wait {}, steps.migrate { dir = '.' } } }")
    local ran = cli.run { "p.lua", cwd = dir, env = { DATABASE_URL = through(url,
      "&host=ep-a-1-pooler.us-east-2.aws.neon.tech&hostaddr=127.0.0.1") } }
    assert.equal(2, ran.code, ran.stderr)
    assert.matches("a transaction-mode pooler (Neon's pooler) is between us and the server", ran.stderr, 1, true)
    assert.matches("use the server itself, postgresql://postgres@ep-a-1.us-east-2.aws.neon.tech:", ran.stderr, 1, true)
  end)

  it("R61 is said of status, doctor and the run's own document: session; without a pool: direct", function()
    if not PROGRAM then return pending "needs pgbouncer" end
    local url, dir = pg.database(), project.write { { "0000_a", LOG } }
    local pooler <close>, through = start("session", 4) -- luacheck: ignore pooler
    local function kind(name, target)
      local ran = cli.run { name, "--json", "--dir", dir, "--url", target }
      return cjson.decode(ran.stdout).server.kind
    end
    assert.same({ "session", "direct" }, { kind("status", through(url)), kind("status", url) })
    assert.same({ "session", "direct" }, { kind("migrate", through(url)), kind("migrate", url) })
    local status = cli.run { "status", "--dir", dir, "--url", through(url) }
    assert.matches("\nDatabase: [^\n]*, through a pooler in session mode\n", status.stdout)
    local doctor = cli.run { "doctor", "--dir", dir, "--url", through(url) }
    assert.matches("a pooler in session mode", doctor.stdout .. doctor.stderr, 1, true)
    doctor = cli.run { "doctor", "--dir", dir, "--url", url }
    assert.matches("direct: none between us and the server", doctor.stdout .. doctor.stderr, 1, true)
  end)

  it("is told by PgBouncer's refusal of our options that a pooler is in between", function()
    if not PROGRAM then return pending "needs pgbouncer" end
    local url, dir = pg.database(), project.write { { "0000_a", LOG } }
    local pooler <close>, through = start("session", 4, {}) -- luacheck: ignore pooler
    local ran = cli.run { "migrate", "--dir", dir, "--url", through(url) }
    if ran.code == 0 then return pending "this PgBouncer takes options" end
    assert.equal(2, ran.code)
    assert.matches("unsupported startup parameter", ran.stderr, 1, true)
    assert.matches("hint: a pooler is in between that takes no settings: connect to the server itself", ran.stderr, 1,
      true)
  end)
end)
