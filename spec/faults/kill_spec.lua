local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local function value(url, query, ...)
  local conn <close> = db.connect(url)
  return conn:value(query, ...)
end

local function script(url, text)
  local conn <close> = db.connect(url)
  conn:script(text)
end

local function migrate(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

local function start(url, dir)
  return cli.start { "migrate", "--dir", dir, "--url", url, "--lock-timeout", "60s", log = tmp.dir() .. "/log" }
end

local function await_sleep(url)
  return wait.till(function()
    return value(url, "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'")
  end, 10)
end

local START = { "0000_a", "create table a (v int); insert into a values (1);" }

local function join(list) return table.concat(list, "\n--> statement-breakpoint\n") end

local function write(...) return project.write { START, { "0001_b", join { ... } } } end

local function assert_done(ran) assert.same({ 0, "" }, { ran.code, ran.code == 0 and "" or ran.stderr }) end

-- Runs the statements as far as a division by zero behind them, and mends that; `begun` is noted as if the run had died
-- behind the last statement, before it could say so.
local function run_part(url, statements, begun, last)
  local list = table.move(statements, 1, #statements, 1, {})
  list[#list + 1] = "select 1 / 0"
  local dir = write(table.unpack(list))
  assert.equal(1, migrate(url, dir).code)
  list[#list] = last or "update a set v = v * 2"
  fs.write(dir .. "/0001_b.sql", join(list))
  if not begun then return dir end
  local digest = hash.sha256("")
  local conn <close> = db.connect(url)
  assert.equal(1, conn:exec("update migrator.progress set state = $1, done_digest = $2 where statement = 1",
    "begun " .. begun, digest).affected)
  return dir
end

describe("a run that died in the middle of a file, R48", function()
  it("does not repeat what the file's own COMMIT had committed", function()
    local url = pg.database()
    local dir = write("BEGIN;\nupdate a set v = v * 2 where pg_sleep(1) is not null;\nCOMMIT;")
    local child <close> = start(url, dir)
    local pid = await_sleep(url)
    do
      local holder <close> = db.connect(url)
      holder:script "begin; lock table migrator.progress in share mode"
      child:try_wait(clock.deadline(1.5))
      value(url, "select pg_terminate_backend($1::int4)", pid)
      assert.equal(4, child:wait(clock.deadline(20)).code)
    end
    assert_done(migrate(url, dir))
    assert.equal(2, value(url, "select v from a"))
  end)

  it("goes on with the settings that its first statements made", function()
    local url = pg.database()
    script(url, "create schema app")
    local dir = run_part(url, { "set search_path to app, public", "create index concurrently a_v on public.a (v)" },
      nil, "create table here ()")
    assert_done(migrate(url, dir))
    assert.equal("app.here", value(url, "select relnamespace::regnamespace || '.' || relname from pg_class "
      .. "where relname = 'here'"))
  end)

  it("opens the transaction again that COMMIT AND CHAIN had opened", function()
    local url = pg.database()
    local dir = run_part(url, { "update a set v = v + 1", "COMMIT AND CHAIN", "update a set v = v + 10" }, nil,
      "update a set v = v * 2;\nCOMMIT")
    assert_done(migrate(url, dir))
    assert.equal(24, value(url, "select v from a"))
  end)

  for what, case in pairs {
    ["DROP INDEX CONCURRENTLY"] = { "create index a_v on a (v)", "drop index concurrently a_v", "valid" },
    ["CREATE INDEX CONCURRENTLY"] = { "select 1", "create index concurrently a_v on a (v)", "absent" },
    ["CREATE INDEX CONCURRENTLY without a name"] = { "create index on a ((v + 1))",
      "create index concurrently on a ((v + 1))", "ids" },
    ["DETACH PARTITION CONCURRENTLY"] = { "create table p (i int) partition by list (i); "
      .. "create table p1 partition of p for values in (1)", "alter table p detach partition p1 concurrently",
      "attached" },
    ["CREATE DATABASE"] = { "select 1", "create database migrator_test_begun", "absent" },
  } do
    it("does not repeat a " .. what .. " that was done and not noted", function()
      local url = pg.database()
      assert.equal(0, migrate(url, project.write { START }).code)
      script(url, case[1])
      local before = case[3] == "ids" and value(url, "select string_agg(indexrelid::int8::text, ',') from pg_index "
        .. "where indrelid = 'a'::regclass") or case[3]
      local dir = run_part(url, { case[2] }, before)
      local ran = migrate(url, dir)
      local indexes = value(url, "select count(*) from pg_index where indrelid = 'a'::regclass")
      pg.drop "migrator_test_begun"
      assert_done(ran)
      assert.equal(2, value(url, "select v from a"))
      assert.equal(({ valid = 0, ids = 2 })[case[3]] or what:find("INDEX") and 1 or 0, indexes)
    end)
  end

  it("finishes a DETACH PARTITION CONCURRENTLY that was interrupted half way", function()
    local url = pg.database()
    assert.equal(0, migrate(url, project.write { START }).code)
    script(url, "create table p (i int) partition by list (i); create table p1 partition of p for values in (1)")
    local reader <close> = db.connect(url)
    reader:script "begin; select * from p"
    local dir = write("alter table p detach partition p1 concurrently", "update a set v = v * 2")
    do
      local child <close> = start(url, dir)
      wait.till(function() return value(url, "select inhdetachpending from pg_inherits") end, 10)
      child:kill("TERM")
      assert.equal(143, child:wait(clock.deadline(20)).code)
    end
    reader:exec "rollback"
    assert_done(migrate(url, dir))
    assert.same({ 0, 2 }, { value(url, "select count(*) from pg_inherits"), value(url, "select v from a") })
  end)
end)

describe("a client that is gone, R48", function()
  it("does not leave its session behind in a statement that goes on", function()
    local url = pg.database()
    if value(url, "select current_setting('client_connection_check_interval', true)") == db.null then
      return pending "needs PostgreSQL 14"
    end
    local child <close> = start(url, project.write { START, { "0001_b", "select pg_sleep(60)" } })
    await_sleep(url)
    child:kill("KILL")
    wait.till(function()
      return value(url, "select count(*) from pg_stat_activity where datname = current_database() "
        .. "and wait_event = 'PgSleep'") == 0
    end, 8)
    assert.is_true(value(url, "select to_regclass('a') is null"))
  end)
end)

describe("scripts/dev/soak, R44 R47 R48 R52", function()
  it("finds nothing in a few of each", function()
    if not process.find "python3" then return pending "needs Python" end
    local ran = process.run { cmd = { "scripts/dev/soak", "--jobs", "4", "--program", cli.program(), "kill=15",
      "terminate=10", "restart=6", "cut=20", "signal=8", "race=3", "full=1" },
      env = cli.environment { PG_BINDIR = pg.program("pg_dump"):match "^(.*)/" }, deadline = clock.deadline(180) }
    assert.equal(0, ran.code, ran.stdout .. ran.stderr)
  end)
end)
