local cli = require "spec.support.cli"
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
