local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local project = require "spec.support.project"

local THREE = { { "0000_a", "create table a (i int)" }, { "0001_b", "create table b (i int)" },
  { "0002_c", "create table c (i int)" } }

local function baseline(url, name, dir, tag, ...)
  return cli.run { "baseline", tag, "--dir", dir, "--url", url, "--confirm", "baseline " .. name, ... }
end

local function status(url, dir)
  return cjson.decode(cli.run({ "status", "--dir", dir, "--url", url, "--json" }).stdout)
end

describe("baseline", function()
  it("R6 records up to a tag without running anything; the rest is applied by migrate", function()
    local url, name = pg.database()
    local dir = project.write(THREE)
    local ran = baseline(url, name, dir, "0001_b")
    assert.same({ 0, "" }, { ran.code, ran.stderr })
    assert.truthy(ran.stdout:find("Recorded 2 migration(s).", 1, true))
    assert.same({ "0002_c" }, status(url, dir).pending)
    assert.equal(0, cli.run({ "migrate", "--dir", dir, "--url", url }).code)
    local conn <close> = db.connect(url)
    assert.same({ false, true }, { conn:value "select to_regclass('a') is not null",
      conn:value "select to_regclass('c') is not null" })
    assert.equal(0, cli.run({ "verify", "--dir", dir, "--url", url }).code)
  end)

  it("R6 records all of them, and nothing twice", function()
    local url, name = pg.database()
    local dir = project.write(THREE)
    local recorded = cjson.decode(baseline(url, name, dir, "all", "--json").stdout).recorded
    assert.same({ "0000_a", "0001_b", "0002_c" }, recorded)
    assert.truthy(baseline(url, name, dir, "all").stdout:find("Nothing to record.", 1, true))
    assert.equal(3, status(url, dir).applied)
  end)

  it("R33 records a single stranded entry", function()
    local url, name = pg.database()
    local dir = project.write { THREE[1], THREE[3] }
    cli.run { "migrate", "--dir", dir, "--url", url }
    project.write({ { "0000_a" }, { "0001_b", "create table b (i int)", when = 1 },
      { "0002_c", when = project.T + 1 } }, dir)
    assert.same({ "0001_b" }, status(url, dir).stranded)
    assert.same({ "0001_b" }, cjson.decode(baseline(url, name, dir, "0001_b", "--json").stdout).recorded)
    local ran = cli.run { "verify", "--dir", dir, "--url", url }
    assert.equal(0, ran.code)
    assert.truthy(ran.stderr:find("warning: 0001_b was applied after 0002_c", 1, true))
  end)

  it("R76 does nothing without the phrase that names the database", function()
    local url = pg.database()
    local dir = project.write(THREE)
    local ran = cli.run { "baseline", "all", "--dir", dir, "--url", url, stdin = "baseline\n" }
    assert.equal(2, ran.code)
    assert.truthy(ran.stderr:find("the input is not a terminal", 1, true))
    assert.truthy(ran.stdout:find("0001_b", 1, true), "it says what it would have recorded")
    assert.equal(2, cli.run({ "baseline", "all", "--dir", dir, "--url", url, "--confirm", "baseline" }).code)
    assert.equal(3, #status(url, dir).pending)
  end)

  it("refuses a tag that the journal does not have", function()
    local url, name = pg.database()
    local ran = baseline(url, name, project.write(THREE), "0001_bb")
    assert.equal(2, ran.code)
    assert.truthy(ran.stderr:find("did you mean 0001_b?", 1, true))
  end)

  it("waits for the run lock, and gives up with 5", function()
    local url, name = pg.database()
    local conn <close> = db.connect(url)
    local tracking = require("migrator.tracking").new("drizzle", "__drizzle_migrations")
    conn:exec("select pg_advisory_lock($1::int8)", tracking.key)
    local dir = project.write(THREE)
    local ran = cli.run { "baseline", "all", "--dir", dir, "--url", url, "--confirm", "baseline " .. name,
      env = { MIGRATOR_WAIT = "0" } }
    assert.equal(5, ran.code, ran.stderr)
    assert.equal(3, #status(url, dir).pending)
  end)
end)
