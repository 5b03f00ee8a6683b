local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local PROMISED = 5 -- seconds from the signal to the end

local function value(url, query, ...)
  local conn <close> = db.connect(url)
  return conn:value(query, ...)
end

local function migrate(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

local function start(url, dir, ...)
  local log = tmp.dir() .. "/log"
  return cli.start { "migrate", "--dir", dir, "--url", url, log = log, ... }, log
end

-- The server's process that does the run's work, once it waits for what is named.
local function await_backend(url, event)
  return wait.till(function()
    return value(url, [[select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
      and application_name = 'migrator' and state = 'active' and (wait_event = $1 or wait_event_type = $1)
      limit 1]], event)
  end, 10)
end

local function assert_no_session(url)
  wait.till(function()
    return value(url, "select count(*) from pg_stat_activity where datname = current_database() and pid <> "
      .. "pg_backend_pid() and backend_type = 'client backend'") == 0
  end, 3)
end

local function is_untouched(url)
  return value(url, "select not exists (select 1 from pg_tables where schemaname in ('public', 'drizzle', 'migrator'))")
end

-- A run that sleeps in its second file; `mend` makes it quick.
local function sleeper()
  local url, dir = pg.database(), project.write { { "0000_a", "create table a (v int); insert into a values (1);" },
    { "0001_b", "update a set v = v * 2; select pg_sleep(60);" } }
  local function mend() fs.write(dir .. "/0001_b.sql", "update a set v = v * 2;") end
  return url, dir, mend
end

local function assert_converges(url, dir)
  local ran = migrate(url, dir)
  assert.same({ 0, "" }, { ran.code, cli.said(ran) })
  assert.equal(2, value(url, "select v from a"))
  assert.equal(2, value(url, "select count(*) from drizzle.__drizzle_migrations"))
end

local function ending(child) return child:wait(clock.deadline(20)).code end

local function assert_ends(child, code)
  local before = clock.now()
  assert.equal(code, ending(child))
  assert.is_true(clock.now() - before < PROMISED)
end

describe("a run that is interrupted", function()
  for signal, expected in pairs { INT = 130, TERM = 143, HUP = 129 } do
    it("R47 rolls back and ends with " .. expected .. " within 5 s of SIG" .. signal, function()
      local url, dir, mend = sleeper()
      local child <close>, log = start(url, dir)
      await_backend(url, "PgSleep")
      child:kill(signal)
      assert_ends(child, expected)
      assert.matches("interrupted by SIG" .. signal, fs.read(log), 1, true)
      assert.matches("nothing", fs.read(log), 1, true)
      assert_no_session(url)
      assert.is_true(is_untouched(url))
      mend()
      assert_converges(url, dir)
    end)
  end

  it("R47 while it waits for another run's lock, ends at once and changes nothing", function()
    local url, dir, mend = sleeper()
    local first <close> = start(url, dir)
    await_backend(url, "PgSleep")
    local second <close>, log = start(url, dir)
    wait.till(function() return fs.read(log):find("another run holds the lock", 1, true) end, 10)
    second:kill("TERM")
    assert_ends(second, 143)
    first:kill("INT")
    assert.equal(130, ending(first))
    mend()
    assert_converges(url, dir)
  end)

  it("R47 while it waits for a table, ends in time and takes its place in the queue away", function()
    local url, dir = pg.database(), project.write { { "0000_a", "alter table held add x int;" } }
    local holder <close> = db.connect(url)
    holder:exec "create table held ()"
    holder:script "begin; lock table held"
    local child <close> = start(url, dir, "--lock-timeout", "60s")
    await_backend(url, "Lock")
    child:kill("TERM")
    assert_ends(child, 143)
    wait.till(function() return holder:value "select count(*) from pg_locks where not granted" == 0 end)
    holder:exec "rollback"
  end)

  it("R47 in the middle of CREATE INDEX CONCURRENTLY, leaves what the next run finishes", function()
    local first = { "0000_a", "create table a (v int); insert into a values (1);" }
    local url, dir = pg.database(), project.write { first }
    assert.equal(0, migrate(url, dir).code)
    project.write({ first, { "0001_b", "create index concurrently a_v on a (v);\n--> statement-breakpoint\n"
      .. "update a set v = v * 2;" } }, dir)
    local writer <close> = db.connect(url)
    writer:script "begin; lock table a in row exclusive mode"
    local child <close> = start(url, dir, "--lock-timeout", "60s")
    await_backend(url, "Lock")
    child:kill("INT")
    assert_ends(child, 130)
    writer:exec "rollback"
    local ran = migrate(url, dir)
    assert.equal(0, ran.code)
    assert.is_true(value(url, "select indisvalid from pg_index where indexrelid = 'a_v'::regclass"))
    assert.same({ 2, 1 }, { value(url, "select v from a"), value(url, "select count(*) from pg_index "
      .. "where indrelid = 'a'::regclass") })
    assert.equal(2, value(url, "select count(*) from drizzle.__drizzle_migrations"))
  end)

  -- A stopped server process takes neither the cancel request nor the end of the connection.
  for _, signals in ipairs { 1, 2 } do
    it(("R47 ends within 5 s of signal %d although the server does not answer"):format(signals), function()
      local url, dir, mend = sleeper()
      local child <close> = start(url, dir)
      local backend = tostring(await_backend(url, "PgSleep"))
      process.run { cmd = { "kill", "-STOP", backend } }
      for _ = 1, signals do
        child:kill("INT")
        child:try_wait(clock.deadline(0.2))
      end
      local ok, err = pcall(assert_ends, child, 130)
      process.run { cmd = { "kill", "-CONT", backend } }
      if not ok then error(err, 0) end
      assert_no_session(url)
      assert.is_true(is_untouched(url))
      mend()
      assert_converges(url, dir)
    end)
  end
end)

describe("a run that loses its server", function()
  for name, kill in pairs {
    ["is terminated"] = function(url, pid) value(url, "select pg_terminate_backend($1::int4)", pid) end,
    ["is killed, and the server restarts"] = function(_, pid) process.run { cmd = { "kill", "-9", tostring(pid) } } end,
  } do
    it("R48 exits 4 with nothing changed when its session " .. name, function()
      local url, dir, mend = sleeper()
      local child <close>, log = start(url, dir)
      kill(url, await_backend(url, "PgSleep"))
      assert.equal(4, ending(child), fs.read(log))
      assert.matches("error: ", fs.read(log), 1, true)
      assert.not_matches("Migrations complete", fs.read(log), 1, true)
      wait.till(function()
        local conn <close> = db.try_connect(url, { connect_timeout = 2 })
        return conn ~= nil
      end, 20)
      assert_no_session(url)
      assert.is_true(is_untouched(url))
      mend()
      assert_converges(url, dir)
    end)
  end

  it("R48 between a statement and the note that it is done, does not repeat it", function()
    local url, dir = pg.database(), project.write { { "0000_a", "create table a (v int);" },
      { "0001_b", "create index concurrently a_v on a (v);\ninsert into a select 2 from pg_sleep(1);" } }
    local child <close> = start(url, dir, "--lock-timeout", "60s")
    local pid = await_backend(url, "PgSleep")
    do
      local holder <close> = db.connect(url)
      holder:script "begin; lock table migrator.progress in share mode"
      child:try_wait(clock.deadline(1.5))
      value(url, "select pg_terminate_backend($1::int4)", pid)
      assert.equal(4, ending(child))
    end
    assert.equal(0, migrate(url, dir).code)
    assert.equal(1, value(url, "select count(*) from a"))
  end)
end)

-- Thirty migrations, each of which writes its number down; the sixteenth cannot run in a transaction, and writes too.
local function write_thirty()
  local list = { { "0000_log", "create table log (n int); insert into log values (0);" } }
  for n = 1, 29 do
    list[n + 1] = { ("%04d_m"):format(n), ("create table t%d (id serial primary key);\n--> statement-breakpoint\n"
      .. "insert into log values (%d);\n--> statement-breakpoint\nselect pg_sleep(0.004);"):format(n, n) }
  end
  list[16][2] = table.concat({ "insert into log values (15);", "select pg_sleep(0.03);",
    "create index concurrently log_n on log (n);", "select pg_sleep(0.03);", "create table t15 ();" },
    "\n--> statement-breakpoint\n")
  return project.write(list)
end

-- Everything that a run should leave: the schema, what was written down how often, what is tracked.
local function outcome(url)
  return { dump = pg.dump(url), log = value(url, "select string_agg(n::text, ' ' order by n) from log"),
    rows = value(url, "select string_agg(hash || created_at, ' ' order by id) from drizzle.__drizzle_migrations") }
end

describe("a run that is killed", function()
  local dir, undisturbed

  setup(function()
    local url
    dir, url = write_thirty(), pg.database()
    assert(migrate(url, dir).code == 0)
    undisturbed = outcome(url)
  end)

  local function check(url, delay)
    local ran = migrate(url, dir)
    assert.equal(0, ran.code, ("after %.3f s: %s"):format(delay, ran.stderr))
    local found = outcome(url)
    for _, key in ipairs { "log", "rows", "dump" } do
      assert.equal(undisturbed[key], found[key], ("%s, after %.3f s"):format(key, delay))
    end
    pg.drop(url:match "migrator_test_%x+")
  end

  it("R48 by SIGKILL at twenty random moments is finished by the next to what an undisturbed run leaves", function()
    local hit = 0
    for _ = 1, 20 do
      local url, delay = pg.database(), math.random() * 0.3
      local child <close> = start(url, dir)
      child:try_wait(clock.deadline(delay))
      child:kill("KILL")
      if child:wait(clock.deadline(10)).signal == "KILL" then hit = hit + 1 end
      check(url, delay)
    end
    assert.is_true(hit > 0)
  end)

  it("R48 by SIGKILL again and again is finished by one that is not", function()
    local url, delay = pg.database(), 0
    for try = 1, 6 do
      delay = try * 0.04 + math.random() * 0.02
      local child <close> = start(url, dir)
      child:try_wait(clock.deadline(delay))
      child:kill("KILL")
      child:wait(clock.deadline(10))
    end
    check(url, delay)
  end)

  it("R48 with its connection cut at ten random moments exits 4 and is finished by the next", function()
    if not process.find "socat" then return pending "needs socat" end
    local cut = 0
    for _ = 1, 10 do
      local url, folder, delay = pg.database(), tmp.dir(), 0.02 + math.random() * 0.2
      local relay <close> = process.start { cmd = { "socat", "UNIX-LISTEN:" .. folder .. "/.s.PGSQL.5432,fork",
        "UNIX-CONNECT:" .. pg.server().dir .. "/.s.PGSQL.5432" }, grace = 1 }
      wait.till(function() return fs.find(folder .. "/.s.PGSQL.5432") end)
      local child <close>, log = start(url:gsub("host=[^&]*", "host=" .. folder), dir, "--connect-timeout", "2s")
      child:try_wait(clock.deadline(delay))
      relay:kill("KILL")
      local code = ending(child)
      if code ~= 0 then
        cut = cut + 1
        assert.equal(4, code, fs.read(log))
        assert.not_matches("Migrations complete", fs.read(log), 1, true)
      end
      check(url, delay)
    end
    assert.is_true(cut > 0)
  end)
end)

describe("four runs at the same time", function()
  it("R44 R52 apply a data migration once, in five rounds", function()
    local dir = project.write { { "0000_a", "create table a (v int); insert into a values (100);" },
      { "0001_b", "update a set v = v * 2;" }, { "0002_c", "create index concurrently a_v on a (v);" },
      { "0003_d", "update a set v = v + 1;" } }
    for _ = 1, 5 do
      local url, runs, applied = pg.database(), {}, 0
      for i = 1, 4 do
        local child, log = start(url, dir)
        runs[i] = { child = child, log = log }
      end
      for _, run in ipairs(runs) do
        assert.equal(0, ending(run.child), fs.read(run.log))
        applied = applied + tonumber(fs.read(run.log):match "Applied (%d+) new")
      end
      assert.same({ 4, 201, 4 }, { applied, value(url, "select v from a"),
        value(url, "select count(*) from drizzle.__drizzle_migrations") })
    end
  end)
end)
