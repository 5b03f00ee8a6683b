---Where am I? What a run says of its database before it changes anything, and what it refuses to be led to.
local cjson = require "cjson"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local cloud = require "spec.support.cloud"
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local http = require "migrator.core.http"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local standby = require "spec.support.standby"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local ONE = { { "0000_a", "do $$ begin raise warning 'the first change'; end $$; create table a (id int);" } }

local function pipeline(steps, env)
  local dir = tmp.dir {}
  tmp.write(dir .. "/p.lua", "return pipeline { steps = {" .. steps .. "} }")
  return cli.run { "p.lua", cwd = dir, env = env }
end

local function value(url, text)
  local conn <close> = db.connect(url)
  return conn:value(text)
end

local SYSTEM = "select system_identifier::text from pg_control_system()"

describe("the identity of the database", function()
  it("R64 R133 is said by migrate before the first change, without the password", function()
    local url, name = pg.database()
    local words = db.connect(url):info()
    local secret = ("host=%s port=%s user=postgres dbname=%s password=s3cr3t-1"):format(words.host, words.port, name)
    local ran = cli.run { "migrate", "--dir", project.write(ONE), "--url", secret }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches(("^info: database %s as postgres on %s, PostgreSQL %%d[%%d.]*, system %s\nwarning: [^\n]*the first")
      :format(name, (words.host:gsub("%p", "%%%0")), value(url, SYSTEM)), ran.stderr)
    assert.not_matches("s3cr3t", ran.stdout .. ran.stderr, 1, true)
    ran = cli.run { "migrate", "--dir", project.write(ONE), "--url", secret, "--quiet" }
    assert.equal("", ran.stderr)
  end)

  it("R64 is in the documents of migrate and status: in one round trip, when nothing is pending", function()
    local url, name = pg.database()
    local dir = project.write(ONE)
    cli.run { "migrate", "--dir", dir, "--url", url }
    pg.settle(url)
    local ran = cli.run { "migrate", "--json", "--dir", dir, "--url", url }
    local migrated = cjson.decode(ran.stdout)
    local status = cjson.decode(cli.run({ "status", "--json", "--dir", dir, "--url", url }).stdout)
    local info = db.connect(url):info()
    assert.equal(1, migrated.round_trips)
    for _, server in ipairs { migrated.server, status.server } do
      assert.same({ database = name, user = "postgres", host = info.host, port = info.port, kind = "direct",
        version = info.version:match "^%S+", system_identifier = value(url, SYSTEM) }, server)
    end
  end)

  it("R64 lacks the system's number where the user may not ask for it, and costs no round trip more", function()
    local url, name = pg.database()
    local role = name .. "_reader"
    local conn <close> = db.connect(url)
    conn:script(("create role %s login; grant all on database %s to %s; grant all on schema public to %s; "
      .. "revoke execute on function pg_catalog.pg_control_system() from public"):format(role, name, role, role))
    local mine = (url:gsub("//postgres", "//" .. role):gsub("user=postgres", "user=" .. role))
    local dir = project.write(ONE)
    local ran = cli.run { "migrate", "--dir", dir, "--url", mine }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("^info: database [^\n]*, PostgreSQL %d[%d.]*\n", ran.stderr)
    pg.settle(url)
    local again = cjson.decode(cli.run({ "migrate", "--json", "--dir", dir, "--url", mine }).stdout)
    assert.same({ 1 }, { again.round_trips, again.server.system_identifier })
    conn:script(("drop owned by %s; drop role %s"):format(role, role))
  end)

  it("R64 stops a pipeline at another database, naming every difference, with nothing changed", function()
    local url, name = pg.database()
    local dir = project.write(ONE)
    local ran = pipeline(("steps.migrate { dir = %q, expect = { database = 'shop', user = 'postgres', "
      .. "system_identifier = 7 } }"):format(dir), { DATABASE_URL = url })
    assert.equal(2, ran.code)
    assert.matches(("this is not the expected database: the database is %s, but shop was expected; the system "
      .. "identifier is %s, but 7 was expected"):format(name, value(url, SYSTEM)), ran.stderr, 1, true)
    assert.not_matches("the first change", ran.stderr, 1, true)
    assert.is_false(value(url, "select exists (select 1 from pg_tables where tablename = 'a')"))
    ran = pipeline(("steps.migrate { dir = %q, expect = { database = %q, system_identifier = %q } }"):format(dir, name,
      value(url, SYSTEM)), { DATABASE_URL = url })
    assert.equal(0, ran.code, ran.stderr)
    assert.matches(("database %s as postgres on .*warning: [^\n]*the first change"):format(name), ran.stderr)
  end)
end)

describe("a server that must not be written to", function()
  it("R77 is told apart: standby, restore, read-only session", function()
    local dir = project.write(ONE)
    local function said(url)
      local ran = cli.run { "migrate", "--dir", dir, "--url", url }
      assert.equal(2, ran.code, ran.stderr)
      return ran.stderr
    end
    local server = standby.start(true, function() end)
    local replica = said(server.url)
    server.stop()
    assert.matches("^error: the server is a read%-only standby\n  hint: use the primary's address", replica)
    assert.matches("^error: the session is read%-only",
      said(pg.database():gsub("?.*", "") .. "?host=" .. db.connect(pg.server().url):info().host
        .. "&options=-cdefault_transaction_read_only%3Don"))
  end)
end)

describe("a pooler that its name gives away", function()
  local URL = "postgresql://postgres.abcdefghij:s3cr3t-2@aws-0-eu-west-1.pooler.supabase.com:6543/postgres"

  local function assert_refused(ran)
    assert.equal(2, ran.code, ran.stderr)
    local said = ran.stdout .. ran.stderr
    assert.matches("aws-0-eu-west-1.pooler.supabase.com port 6543 is Supabase's pooler, a transaction-mode pooler",
      said, 1, true)
    assert.matches("postgresql://postgres@db.abcdefghij.supabase.co:5432/postgres", said, 1, true)
    assert.matches("postgresql://postgres.abcdefghij@aws-0-eu-west-1.pooler.supabase.com:5432/postgres", said, 1, true)
    assert.not_matches("s3cr3t", said, 1, true)
  end

  it("R60 is refused before anything is dialled: by migrate, its document, a pipeline and doctor", function()
    local dir = project.write(ONE)
    local before = clock.now()
    assert_refused(cli.run { "migrate", "--dir", dir, "--url", URL })
    assert_refused(cli.run { "migrate", "--json", "--dir", dir, "--url", URL })
    assert_refused(pipeline(("steps.migrate { dir = %q }"):format(dir), { DATABASE_URL = URL }))
    assert_refused(pipeline(("steps.preflight { dir = %q }"):format(dir), { DATABASE_URL = URL }))
    assert_refused(cli.run { "doctor", "--dir", dir, "--url", URL })
    assert.is_true(clock.now() - before < 8)
  end)
end)

describe("the way to the database", function()
  local server

  setup(function() server = ephemeral.start { port = true } end)
  teardown(function() server:stop() end)

  it("R58 leads through the proxy whatever PG* variables say", function()
    local services = tmp.dir {} .. "/pg_service.conf"
    tmp.write(services, "[away]\nhost=203.0.113.9\nhostaddr=203.0.113.9\nsslmode=require\nchannel_binding=require\n")
    local env = { DATABASE_URL = "postgresql://postgres:x%40y@db.example.org:5432/postgres?sslmode=verify-full"
      .. "&hostaddr=203.0.113.9&schema=public&channel_binding=require&sslrootcert=system" }
    for name, text in pairs { PGHOSTADDR = "203.0.113.9", PGSSLMODE = "require", PGCHANNELBINDING = "require",
      PGTARGETSESSIONATTRS = "standby", PGGSSENCMODE = "require", PGREQUIREPEER = "nobody", PGSERVICE = "away",
      PGSERVICEFILE = services, PGHOST = "203.0.113.9", PGPORT = "1" } do
      env[name] = text
    end
    local ran = pipeline(([[function(ctx)
      local dsn = url.rewrite(env.DATABASE_URL, { host = "127.0.0.1", port = %d })
      print(db.ping(dsn), db.connect(dsn):value "select inet_server_port()")
    end]]):format(server.port), env)
    assert.equal(("accepting\t%d\n"):format(server.port), ran.stdout, ran.stderr)
  end)

  it("R58 of a program behind the proxy is the proxy's too", function()
    if not process.find "socat" or not pg.program "psql" then return pending "needs socat and psql" end
    local port = http.find_port()
    local ran = pipeline(([[
      steps.proxy { port = %d, cmd = { "socat", "TCP-LISTEN:%d,fork,reuseaddr,bind=127.0.0.1", "TCP:127.0.0.1:%d" } },
      steps.wait {},
      steps.run { cmd = { "sh", "-c", '"$PSQL" "$DATABASE_URL" -XAtc "select 20 + 22"' }, env = { PSQL = %q } } ]])
      :format(port, port, server.port, pg.program "psql"), { PGHOSTADDR = "203.0.113.9", PGCHANNELBINDING = "require",
        PGTARGETSESSIONATTRS = "standby", PGSSLMODE = "verify-full",
        DATABASE_URL = "postgresql://postgres@db.example.org/postgres" })
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("42\n", ran.stdout, 1, true)
  end)

  it("R64 is refused where PGHOSTADDR would lead away from the host of the URL", function()
    local ran = cli.run { "status", "--dir", project.write(ONE), "--url",
      ("postgresql://postgres@localhost:%d/postgres"):format(server.port), env = { PGHOSTADDR = "203.0.113.9" } }
    assert.equal(2, ran.code)
    assert.matches("error: PGHOSTADDR is set: the connection would go there", ran.stderr, 1, true)
  end)

  it("R62 says that the host has only IPv6", function()
    local ran = cli.run { "status", "--dir", project.write(ONE), "--connect-timeout", "3s", "--url",
      "host=db.abcdefghij.supabase.co hostaddr=ff0e::1 user=postgres dbname=postgres" }
    assert.equal(4, ran.code)
    if ran.stderr:find("before the deadline", 1, true) then return pending "needs a kernel that refuses ff0e::/16" end
    assert.matches("the server has only an IPv6 address, and no IPv6 route leads there from this machine: use a "
      .. "host that has an IPv4 address", ran.stderr, 1, true)
  end)

  describe("through cloud-sql-proxy into a managed pool", function()
    local TOKEN = "ya29.emulated-sa-token"

    local function find(name) return process.find(name) end

    local function pooler(mode)
      local port, dir = http.find_port(), tmp.dir {}
      tmp.write(dir .. "/pb.ini", ("[databases]\n* = host=127.0.0.1 port=%d user=postgres pool_size=4\n[pgbouncer]\n"
        .. "listen_addr = 127.0.0.1\nlisten_port = %d\nauth_type = any\nunix_socket_dir =\npool_mode = %s\n"
        .. "ignore_startup_parameters = options, extra_float_digits\n"):format(server.port, port, mode))
      process.run { cmd = { "chmod", "-R", "a+rX", dir } }
      local cmd = { find "pgbouncer", "-q", dir .. "/pb.ini" }
      if process.user().uid == 0 then
        cmd = { "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", table.unpack(cmd) }
      end
      local child = process.start { cmd = cmd, log = dir .. "/log" }
      wait.till(function()
        return db.ping(("postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable"):format(port)) == "accepting"
      end, 10)
      return child, port
    end

    for mode, case in pairs {
      transaction = { 2, "error: a transaction-mode pooler is between us and the server" },
      statement = { 2, "error: a transaction-mode pooler is between us and the server" },
      session = { 0, "warning: a pooler in session mode is between us and the server" },
    } do
      it(("R60 R61 sees one in %s mode, though host and port are the proxy's"):format(mode), function()
        local program = cloud.proxy()
        if not (find "pgbouncer" and find "openssl" and program) then
          return pending "needs pgbouncer, openssl and a Cloud SQL proxy"
        end
        local child <close>, port = pooler(mode) -- luacheck: ignore child
        local emulator = cloud.instance("127.0.0.1:" .. port)
        if not emulator then return pending "needs Python" end
        local conn <close> = db.connect(server.url)
        conn:exec("create database migrator_" .. mode)
        local ran = pipeline(([[
          steps.proxy { "cloud_sql", instance = "trovella-prod:us-central1:trovella-prod", program = %q,
            endpoint = %q, token = %q, %s },
          steps.wait { proxy = { timeout = "15s" } },
          steps.migrate { dir = %q } ]]):format(program, emulator.url, TOKEN,
            "quota_project = 'trovella-prod'", project.write(ONE)),
          { DATABASE_URL = "postgresql://postgres@db.example.org/migrator_" .. mode })
        emulator.handle:stop()
        assert.equal(case[1], ran.code, ran.stderr)
        assert.matches(case[2], ran.stderr, 1, true)
      end)
    end
  end)
end)
