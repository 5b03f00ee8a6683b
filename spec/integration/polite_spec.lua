local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local TABLE = "create table held (id int primary key); insert into held select generate_series(1, 1000)"

local function fresh()
  local url = pg.database()
  local conn = db.connect(url)
  conn:script(TABLE)
  return url, conn
end

local function migrate(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

local function start(url, dir, ...)
  return cli.start { "migrate", "--dir", dir, "--url", url, log = dir .. "/log", ... }
end

local function waiting(conn, count)
  wait.till(function()
    return conn:value [[select count(*) from pg_stat_activity
      where wait_event_type = 'Lock' and datname = current_database()]] >= count
  end, 8)
end

-- Another session whose statement is under way: not waited for.
local function session(url, ...)
  local conn = db.connect(url, { application_name = "reader" })
  for i, text in ipairs { ... } do
    if i < select("#", ...) then conn:exec(text) end
  end
  local batch = conn:batch()
  batch:queue((select(select("#", ...), ...)))
  batch:sync()
  batch:wait(clock.now())
  return { conn = conn, batch = batch, since = clock.now(), close = function()
    pcall(batch.close, batch)
    conn:close()
  end }
end

local function indexes(conn)
  return conn:value "select count(*) from pg_index where indrelid = 'held'::regclass and not indisprimary"
end

describe("migrate, when a lock is missing", function()
  it("R50 R53 names who is in the way in the error, however short the lock_timeout is", function()
    local url, conn = fresh()
    conn:exec "begin"
    conn:exec "lock table held"
    local ran = migrate(url, project.write { { "0000_a", "alter table held add x int;" } }, "--lock-timeout", "400ms",
      "--tries", "1")
    conn:close()
    assert.equal(5, ran.code)
    assert.matches("detail: in the way: pid %d+ %(postgres, migrator, idle in transaction for", ran.stderr)
    assert.matches("holds AccessExclusiveLock", ran.stderr, 1, true)
    assert.matches("state: 0 applied, 1 failed and rolled back", ran.stderr, 1, true)
  end)

  it("lock_first takes every lock before the first statement, or does nothing and says who has it", function()
    local url, conn = fresh()
    conn:script "create table other (v int); insert into other values (1)"
    local dir = project.write { { "0000_a", "update other set v = 2; create index on other (v);" },
      { "0001_b", "alter table held add x int; drop index if exists nowhere;" } }
    conn:exec "begin"
    conn:exec "select * from held limit 1"
    local ran = migrate(url, dir, "--lock-first", "--tries", "2")
    assert.equal(5, ran.code)
    assert.matches('could not obtain lock on relation "held"', ran.stderr, 1, true)
    assert.matches("AccessShareLock of held", ran.stderr, 1, true)
    assert.matches("trying again in", ran.stderr, 1, true)
    conn:exec "rollback"
    assert.equal(1, conn:value "select v from other")
    local again = migrate(url, dir, "--lock-first")
    assert.equal(0, again.code, again.stderr)
    assert.equal(2, conn:value "select v from other")
    conn:close()
  end)

  it("lock_first takes no lock on what the run itself makes, and costs no round trip of its own", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", 'create table "Odd one" (v int);' },
      { "0001_b", 'alter table "Odd one" add x int;' } }
    local plain = migrate(pg.database(), dir, "--json")
    local first = migrate(url, dir, "--lock-first", "--json")
    assert.equal(0, first.code, first.stderr)
    assert.equal(plain.stdout:match('"round_trips":(%d+)'), first.stdout:match('"round_trips":(%d+)'))
  end)
end)

describe("migrate, others waiting behind it", function()
  it("gives way while it waits for a lock, and they go on (victims)", function()
    local url, conn = fresh()
    local dir = project.write { { "0000_a", "alter table held add x int;" } }
    conn:exec "begin"
    conn:exec "select count(*) from held"
    local run = start(url, dir, "--lock-timeout", "30s", "--victims", "1s", "--tries", "1")
    local admin <close> = db.connect(url)
    waiting(admin, 1)
    local reader = session(url, "select count(*) from held")
    waiting(admin, 2)
    assert.is_true(reader.batch:wait(clock.deadline(6)))
    local waited = clock.now() - reader.since
    reader.close()
    local status = run:wait()
    conn:exec "rollback"
    conn:close()
    assert.equal(5, status.code)
    assert.is_true(waited < 3, waited)
    local log = require("migrator.core.fs").read(dir .. "/log")
    assert.matches("gave way: 1 session(s) waited behind us, the first for 1.", log, 1, true)
    assert.equal(0, migrate(url, dir).code)
  end)

  it("gives way while it holds the lock and works, and is tried again", function()
    local url, conn = fresh()
    local dir = project.write { { "0000_a", "lock table held; select pg_sleep(0.05);" },
      { "0001_b", [[select pg_sleep(20) from pg_stat_activity where application_name = 'reader';]] } }
    local reader = session(url, "select pg_sleep(0.6)", "select count(*) from held")
    local run = start(url, dir, "--victims", "500ms")
    local ok = reader.batch:wait(clock.deadline(10))
    reader.close()
    local status = run:wait()
    conn:close()
    assert.is_true(ok)
    assert.equal(0, status.code)
  end)

  it("asks the script's own policy, with facts", function()
    local url, conn = fresh()
    local dir = project.write { { "0000_a", "alter table held add x int;" } }
    conn:exec "begin"
    conn:exec "select count(*) from held"
    tmp.write(dir .. "/pipeline.lua", ([[
      return pipeline { steps = { steps.migrate { dir = %q, lock_timeout = "20s", retry = policy.retry.none,
        victims = function(facts)
          print(facts.migration, facts.sessions, facts.longest > 0, facts.blockers[1].state)
          return true
        end } } }]]):format(dir))
    local run = cli.start { dir .. "/pipeline.lua", env = { DATABASE_URL = url }, log = dir .. "/log" }
    local admin <close> = db.connect(url)
    waiting(admin, 1)
    local reader = session(url, "select count(*) from held")
    local status = run:wait()
    reader.close()
    conn:close()
    local log = require("migrator.core.fs").read(dir .. "/log")
    assert.equal(5, status.code, log)
    assert.matches("0000_a\t1\ttrue\tidle in transaction", log, 1, true)
  end)
end)

describe("migrate, CONCURRENTLY", function()
  it("names the transaction it waits for, and keeps to snapshot_timeout; the next run converges", function()
    local url, conn = fresh()
    local dir = project.write { { "0000_a", "create index concurrently held_id on held (id);" } }
    conn:exec "begin isolation level repeatable read"
    conn:exec "select 1"
    local ran = migrate(url, dir, "--snapshot-timeout", "1500ms")
    assert.equal(5, ran.code)
    assert.matches("0000_a waits for older transactions to end, since", ran.stderr, 1, true)
    assert.matches("older transactions did not end within 1.50 s (--snapshot-timeout)", ran.stderr, 1, true)
    assert.matches("detail: pid %d+ %(postgres, migrator, idle in transaction for", ran.stderr)
    conn:exec "rollback"
    assert.equal(0, indexes(conn))
    assert.equal(0, migrate(url, dir).code)
    assert.is_true(conn:value "select indisvalid from pg_index where indexrelid = 'held_id'::regclass")
    conn:close()
  end)

  it("waits for its lock no longer than lock_timeout, and leaves nothing", function()
    local url, conn = fresh()
    local dir = project.write { { "0000_a", "create index concurrently held_id on held (id);" } }
    conn:exec "begin"
    conn:exec "lock table held in share update exclusive mode"
    local ran = migrate(url, dir, "--lock-timeout", "1s", "--tries", "1")
    assert.equal(5, ran.code)
    assert.matches("no lock within 1.00 s (--lock-timeout)", ran.stderr, 1, true)
    assert.matches("holds ShareUpdateExclusiveLock", ran.stderr, 1, true)
    conn:exec "rollback"
    assert.equal(0, indexes(conn))
    conn:close()
  end)
end)
