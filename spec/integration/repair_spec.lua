local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local function repair(at, ...)
  return cli.run { "repair", "--dir", at.dir, "--url", at.url, "--confirm", "repair " .. at.name, ... }
end

local function run(at, command, ...) return cli.run { command, "--dir", at.dir, "--url", at.url, ... } end

local function script(at, text)
  local conn <close> = db.connect(at.url)
  conn:script(text)
end

---A database with two migrations in it.
local function setup()
  local at = { dir = project.write { { "0000_a", "create table a (i int)" }, { "0001_b", "create table b (i int)" } } }
  at.url, at.name = pg.database()
  assert(run(at, "migrate").code == 0)
  return at
end

describe("repair", function()
  it("R37 --accept records an edited file's hash", function()
    local at = setup()
    tmp.write(at.dir .. "/0000_a.sql", "create table a (i bigint)")
    assert.equal(1, run(at, "migrate").code)
    local ran = repair(at, "--accept", "0000_a")
    assert.equal(0, ran.code, ran.stderr)
    assert.truthy(ran.stdout:find("row 1 %(0000_a%): hash %x+ %-> %x+"))
    assert.same({ 0, 0 }, { run(at, "migrate").code, run(at, "verify").code })
    assert.truthy(repair(at, "--accept", "0000_a").stdout:find("Nothing to repair", 1, true))
  end)

  it("--accept records a moved entry's `when`", function()
    local at = setup()
    project.write({ { "0000_a" }, { "0001_b", when = project.T + 50 } }, at.dir)
    assert.same({ "0001_b" }, cjson.decode(run(at, "status", "--json").stdout).moved)
    assert.equal(0, repair(at, "--accept", "0001_b").code)
    local conn <close> = db.connect(at.url)
    assert.equal(project.T + 50, conn:value "select created_at from drizzle.__drizzle_migrations where id = 2")
  end)

  it("R33 --restamp gives a stranded entry a `when` of its own at the end, so that it is applied", function()
    local at = setup()
    project.write({ { "0000_a" }, { "0001_late", "create table late (i int)", when = 5, idx = 1 },
      { "0001_b", idx = 2, when = project.T + 1 } }, at.dir)
    assert.equal(1, run(at, "migrate").code)
    local ran = repair(at, "--restamp", "0001_late")
    assert.equal(0, ran.code, ran.stderr)
    assert.truthy(ran.stdout:find("0001_late: moved from place 2 to place 3", 1, true))
    local entries = cjson.decode(fs.read(at.dir .. "/meta/_journal.json")).entries
    local found = {}
    for i, entry in ipairs(entries) do found[i] = ("%s %d"):format(entry.tag, entry.idx) end
    assert.same({ "0000_a 0", "0001_b 1", "0001_late 2" }, found)
    assert.is_true(entries[3].when > project.T + 1)
    assert.same({ 0, 0 }, { run(at, "migrate").code, run(at, "verify").code })
  end)

  it("--restamp refuses what is recorded", function()
    local at = setup()
    local before = fs.read(at.dir .. "/meta/_journal.json")
    assert.equal(2, repair(at, "--restamp", "0001_b").code)
    assert.equal(before, fs.read(at.dir .. "/meta/_journal.json"))
  end)

  it("R36 --forget removes a row that no entry explains, and no other", function()
    local at = setup()
    script(at, "insert into drizzle.__drizzle_migrations (hash, created_at) values ('stray', 1)")
    assert.equal(1, run(at, "migrate").code)
    assert.equal(0, repair(at, "--forget", "3").code)
    assert.equal(0, run(at, "migrate").code)
    local ran = repair(at, "--forget", "1")
    assert.equal(2, ran.code)
    assert.truthy(ran.stderr:find("row 1 records 0000_a", 1, true))
    assert.same({ 2, 2 }, { repair(at, "--forget", "99").code, repair(at, "--forget", "x").code })
    assert.equal(0, run(at, "verify").code)
  end)

  it("--forget removes the second of two rows for one migration", function()
    local at = setup()
    script(at, "insert into drizzle.__drizzle_migrations (hash, created_at) select hash, created_at "
      .. "from drizzle.__drizzle_migrations where id = 2")
    assert.equal(1, run(at, "verify").code)
    assert.equal(0, repair(at, "--forget", "3").code)
    assert.equal(0, run(at, "verify").code)
  end)

  it("R76 does nothing without the phrase", function()
    local at = setup()
    tmp.write(at.dir .. "/0000_a.sql", "create table a (i bigint)")
    local ran = run(at, "repair", "--accept", "0000_a")
    assert.equal(2, ran.code)
    assert.truthy(ran.stderr:find('--confirm "repair ' .. at.name .. '"', 1, true))
    assert.same({ "0000_a" }, cjson.decode(run(at, "status", "--json").stdout).edited)
  end)

  it("wants exactly one repair", function()
    local at = setup()
    assert.equal(2, repair(at).code)
    assert.equal(2, repair(at, "--forget", "1", "--accept", "0000_a").code)
    assert.equal(2, repair(at, "--accept", "nope").code)
  end)
end)
