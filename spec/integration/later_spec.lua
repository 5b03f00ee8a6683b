local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local errors = require "migrator.error"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local url = require "migrator.lib.url"
local wait = require "spec.support.wait"

describe("db.connect_later", function()
  it("gives a session like any other, once", function()
    local take = db.connect_later(pg.database(), { application_name = "later" })
    local conn <close> = take()
    assert.equal("later", conn:value "select current_setting('application_name')")
    conn:script "do $$ begin raise notice 'heard'; end $$"
    assert.equal("heard", conn:notices()[1].message)
    assert.is_false(pcall(take))
  end)

  it("raises what connecting raised when it is taken, with its hint", function()
    local words = {}
    for key, value in pairs((url.conninfo(pg.server().url))) do words[key] = value end
    words.dbname = "nowhere"
    local ok, err = pcall(db.connect_later(words))
    assert.is_false(ok)
    assert.same({ "connect", "3D000" }, { err.code, err.sqlstate })
    ok, err = pcall(db.connect_later("postgresql://127.0.0.1:1/x"))
    assert.is_false(ok)
    assert.is_true(errors.is(err, "connect"))
    assert.matches("is the server running", err.hint, 1, true)
  end)

  it("brings along the answers to what it was to ask, in one round trip", function()
    local take = db.connect_later(pg.database(), {}, { "select pg_backend_pid() = $1::int4 as own", "select 1 / 0",
      "select 2 as two" })
    local conn, answers = take()
    local _ <close> = conn
    assert.same({ { own = true } }, { { own = answers:next()[1].own } })
    assert.equal("sync", answers:next())
    local ok, err = pcall(answers.next, answers)
    assert.same({ false, "22012", 3 }, { ok, err.sqlstate, err.index })
    assert.equal("sync", answers:next())
    assert.equal(2, answers:next()[1].two)
    assert.same({ "sync", 1 }, { answers:next(), conn:round_trips() })
    assert.is_nil(answers:next())
    assert.equal(3, conn:value "select 3")
  end)

  it("waits for the answers until the run's deadline, and no longer", function()
    local started = clock.now()
    local take = db.connect_later(pg.database(), { deadline = clock.deadline(1) }, { "select $1, pg_sleep(20)" })
    local ok, err = pcall(take)
    assert.same({ false, "timeout" }, { ok, err.code })
    assert.is_true(clock.now() - started < 4)
  end)

  it("raises when the server goes away in the middle of the answers", function()
    local target = pg.database()
    local take = db.connect_later(target, { application_name = "gone" }, { "select $1, pg_sleep(20)" })
    local conn <close> = db.connect(target)
    wait.till(function()
      return conn:value "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'gone' \z
        and query like '%pg_sleep(20)%' and state = 'active'" > 0
    end, 5)
    local ok, err = pcall(take)
    assert.same({ false, "connect" }, { ok, err.code })
  end)

  it("closes itself when nobody takes it", function()
    local target, list = pg.database(), {}
    local conn <close> = db.connect(target)
    local function count()
      return conn:value "select count(*) from pg_stat_activity where application_name = 'unwanted'"
    end
    for i = 1, 5 do list[i] = db.connect_later(target, { application_name = "unwanted" }) end
    wait.till(function() return count() == #list end, 5)
    for i = 1, 5 do list[i] = nil end
    collectgarbage()
    collectgarbage()
    wait.till(function() return count() == 0 end, 5)
  end)
end)

describe("steps.verify behind steps.migrate", function()
  local function run(statements)
    local target = pg.database()
    local dir = project.write { { "0000_a", statements } }
    tmp.write(dir .. "/pipeline.lua",
      ("return pipeline { steps = { steps.migrate { dir = %q }, steps.verify { dir = %q } } }")
      :format(dir, dir))
    return cli.run { dir .. "/pipeline.lua", env = { DATABASE_URL = target } }, target
  end

  it("opens its session while the migrations run", function()
    local ran, target = run [[select pg_sleep(0.5); create table seen as select count(*) as n from pg_stat_activity
      where application_name = 'migrator verify' and datname = current_database();]]
    assert.equal(0, ran.code, ran.stderr)
    local conn <close> = db.connect(target)
    assert.equal(1, conn:value "select n from seen")
  end)

  it("opens another when that one did not live to be used", function()
    local ran, target = run [[select pg_sleep(0.5); create table killed as
      select pg_terminate_backend(pid) as ok from pg_stat_activity
      where application_name = 'migrator verify' and datname = current_database();]]
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("Verified: database has all 1 migrations.", ran.stdout, 1, true)
    local conn <close> = db.connect(target)
    assert.is_true(conn:value "select ok from killed")
  end)
end)
