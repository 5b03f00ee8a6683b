local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local server = require "spec.support.http"
local tmp = require "spec.support.tmp"

local BASE = { "0000_a", "create table a (old int, i int)" }
local EXPAND = { "0001_expand", "-- migrator: phase=expand\nalter table a add new int" }
local OTHER = { "0002_other", "create table b (i int)" }
local CONTRACT = { "0003_contract", "-- migrator: phase=contract needs=0001_expand\nalter table a drop old" }
local ALL = { BASE, EXPAND, OTHER, CONTRACT }

---A database that has all but the contract, the journal that has it too, and a run of it.
local function staged(list)
  local url = pg.database()
  local before = cli.run { "migrate", "--dir", project.write { BASE, EXPAND, OTHER }, "--url", url }
  assert.equal(0, before.code, before.stderr)
  return url, project.write(list or ALL)
end

local function migrate(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

local function migrate_in(environment, url, dir, ...)
  return cli.run { env = { NODE_ENV = environment }, "migrate", "--dir", dir, "--url", url, ... }
end

local function has_old(url)
  local conn <close> = db.connect(url)
  return conn:value "select exists (select 1 from pg_attribute where attrelid = 'a'::regclass and attname = 'old')"
end

local function script(url, text, files)
  local dir = tmp.dir { ["p.lua"] = text }
  project.write(ALL, dir .. "/migrations")
  for name, content in pairs(files or {}) do tmp.write(dir .. "/" .. name, content) end
  return cli.run { "p.lua", cwd = dir, env = { DATABASE_URL = url } }
end

describe("a contract migration", function()
  it("R128 is refused with 1 while nobody says what is deployed, and nothing runs", function()
    local url, dir = staged()
    local ran = migrate(url, dir)
    assert.equal(1, ran.code)
    assert.matches("0003_contract is a contract migration and needs 0001_expand deployed: nobody (NODE_ENV is not set",
      ran.stderr, 1, true)
    assert.matches("--deployed TAG", ran.stderr, 1, true)
    assert.is_true(has_old(url))
  end)

  it("R128 is refused while the deployed version is older than what it needs, and runs from that on", function()
    for tag, allowed in pairs { ["0000_a"] = false, ["0001_expand"] = true, ["0002_other"] = true } do
      local url, dir = staged()
      local ran = migrate(url, dir, "--deployed", tag)
      assert.equal(allowed and 0 or 1, ran.code, ran.stderr)
      assert.equal(not allowed, has_old(url))
      if not allowed then assert.matches("deployed (--deployed) says 0000_a", ran.stderr, 1, true) end
    end
  end)

  it("R128 is refused for a version that the journal does not have", function()
    local url, dir = staged()
    local ran = migrate(url, dir, "--deployed", "0001_expnd")
    assert.equal(1, ran.code)
    assert.matches('says "0001_expnd", which the journal does not have', ran.stderr, 1, true)
    assert.matches('did you mean "0001_expand"?', ran.stderr, 1, true)
  end)

  it("R128 is refused together with the expansion that it needs", function()
    local url = pg.database()
    assert.equal(0, migrate(url, project.write { BASE }).code)
    local ran = migrate(url, project.write(ALL), "--deployed", "0000_a")
    assert.equal(1, ran.code)
    assert.matches("state: nothing was changed", ran.stderr, 1, true)
    local conn <close> = db.connect(url)
    assert.is_false(conn:value "select to_regclass('b') is not null")
  end)

  it("R128 runs in a new database, and in one of a developer or of tests unless told otherwise", function()
    assert.equal(0, migrate((pg.database()), project.write(ALL)).code)
    local url, dir = staged()
    assert.equal(1, migrate_in("development", url, dir, "--deployed", "0000_a").code)
    assert.equal(1, migrate_in("staging", url, dir).code)
    assert.equal(0, migrate_in("development", url, dir).code)
  end)

  it("R128 asks a file, in which the oldest of several versions counts", function()
    local url, dir = staged()
    local path = tmp.dir { deployed = "0002_other\n0000_a\n" } .. "/deployed"
    local ran = migrate(url, dir, "--deployed", "file:" .. path)
    assert.equal(1, ran.code)
    assert.matches("says 0000_a", ran.stderr, 1, true)
    tmp.write(path, "0001_expand\n0002_other\n")
    assert.equal(0, migrate(url, dir, "--deployed", "file:" .. path).code)
  end)

  it("R128 asks a table, in which every running instance stands", function()
    local url, dir = staged()
    local conn <close> = db.connect(url)
    conn:exec 'create table "Instance" (tag text)'
    assert.equal(1, migrate(url, dir, "--deployed", "table:public.Instance.tag").code, "none is not a yes")
    conn:exec [[insert into "Instance" values ('0002_other'), ('0000_a')]]
    assert.equal(1, migrate(url, dir, "--deployed", "table:Instance.tag").code)
    conn:exec [[delete from "Instance" where tag = '0000_a']]
    assert.equal(0, migrate(url, dir, "--deployed", "table:Instance.tag").code)
  end)

  it("R128 asks an address, as text or under a name of its JSON", function()
    if not process.find "socat" then return pending "needs socat" end
    local app <close> = server.start()
    local url, dir = staged()
    app:answer("200 OK", '{"build": {"migration": "0000_a"}}')
    local ran = migrate(url, dir, "--deployed", app.url .. "/version?key=s3cret#build.migration")
    assert.equal(1, ran.code)
    assert.matches("says 0000_a", ran.stderr, 1, true)
    assert.is_nil(ran.stderr:find("s3cret", 1, true))
    assert.equal(2, migrate(url, dir, "--deployed", app.url .. "/version#other").code)
    app:answer("500 Internal Server Error", "0002_other")
    assert.equal(4, migrate(url, dir, "--deployed", app.url .. "/version").code)
    app:answer("200 OK", "0002_other\n")
    assert.equal(0, migrate(url, dir, "--deployed", app.url .. "/version").code)
  end)

  it("R128 names an address without what may be a secret in it", function()
    local show = require("migrator.deployed").show
    assert.equal("https://host/v?…#a", show "https://user:p@ss@host/v?token=x#a")
    assert.equal("https://host/@v", show "https://host/@v")
  end)

  it("R128 asks a function of the script", function()
    local url = staged()
    local ran = script(url, 'return pipeline { steps.migrate { deployed = function() return "0000_a" end } }')
    assert.equal(1, ran.code)
    assert.matches("the script's `deployed` says 0000_a", ran.stderr, 1, true)
    assert.equal(1, script(url, "return pipeline { steps.migrate { deployed = function() end } }").code)
    assert.equal(2, script(url, "return pipeline { steps.migrate { deployed = function() return 7 end } }").code)
    assert.equal(2, script(url, "return pipeline { steps.migrate { deployed = function() error 'no' end } }").code)
    ran = script(url, "return pipeline { steps.migrate { deployed = function() return { nil, '0002_other' } end } }")
    assert.equal(2, ran.code)
    assert.matches("item 1 of the list is a nil", ran.stderr, 1, true)
    assert.is_true(has_old(url))
    ran = script(url, 'return pipeline { steps.migrate { deployed = "file:v" } }', { v = "0002_other" })
    assert.equal(0, ran.code, ran.stderr)
    assert.is_false(has_old(url))
  end)

  it("R128 does not ask when no contract is pending", function()
    local url = staged()
    assert.equal(0, migrate(url, project.write { BASE, EXPAND, OTHER, { "0003_x", "create table x ()" } }, "--deployed",
      "file:/does/not/exist").code)
  end)

  it("R128 refuses a source that cannot be asked", function()
    local url, dir = staged()
    for source, message in pairs { ["file:/does/not/exist"] = "there is no such file",
      ["gopher:x"] = "is not a tag, file:",
      ["table:x"] = "is not TABLE.COLUMN" } do
      local ran = migrate(url, dir, "--deployed", source)
      assert.equal(2, ran.code)
      assert.matches(message, ran.stderr, 1, true)
    end
    assert.equal(1, migrate(url, dir, "--deployed", "table:no_such.tag").code)
  end)
end)

describe("the headers phase and needs", function()
  local function refusal(header, needs_line)
    local url, dir = staged { BASE, EXPAND, OTHER, { "0003_contract", header .. "\nselect 1" } }
    local ran = migrate(url, dir, "--deployed", "0002_other")
    assert.equal(2, ran.code)
    if needs_line then assert.matches("0003_contract.sql:1:", ran.stderr, 1, true) end
    return ran.stderr
  end

  it("R128 are refused when they make no sense, with their place", function()
    assert.matches("phase=contract does not say what it needs", refusal("-- migrator: phase=contract", true), 1, true)
    assert.matches("holds nothing back", refusal("-- migrator: needs=0001_expand", true), 1, true)
    assert.matches('did you mean "contract"?', refusal("-- migrator: phase=contrct needs=0000_a", true), 1, true)
    assert.matches('did you mean "0001_expand"?', refusal "-- migrator: phase=contract needs=0001_expnd", 1, true)
    assert.matches("does not stand before", refusal "-- migrator: phase=contract needs=0003_contract", 1, true)
  end)
end)
