local cjson = require "cjson"
local cli = require "spec.support.cli"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local function new(dir, name, ...) return cli.run { "new", name, "--dir", dir, ... } end

local function journal(dir) return fs.read(dir .. "/meta/_journal.json") end

describe("new", function()
  it("R5 R20 makes file and entry, the other entries byte for byte as they were", function()
    local dir = project.write { { "0000_a", "select 1" } }
    local before = journal(dir)
    local ran = new(dir, "Add orders")
    assert.same({ 0, "" }, { ran.code, ran.stderr })
    assert.truthy(ran.stdout:find("Created " .. dir .. "/0001_add_orders.sql", 1, true))
    local after = journal(dir)
    assert.equal(before:match("^(.*)\n  %]"), after:sub(1, #before:match("^(.*)\n  %]")))
    local entries = cjson.decode(after).entries
    assert.same({ 1, "0001_add_orders", "7", true }, { entries[2].idx, entries[2].tag, entries[2].version,
      entries[2].breakpoints })
    assert.is_true(entries[2].when > project.T)
  end)

  it("R5 R18 makes what migrate applies as it is, and what comes after it too", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (i int)", when = "4000000000000" } }
    local ran = new(dir, "one")
    assert.truthy(ran.stderr:find("in the future", 1, true))
    new(dir, "two")
    local entries = cjson.decode(journal(dir)).entries
    assert.same({ 4000000000000, 4000000000001, 4000000000002 }, { entries[1].when, entries[2].when, entries[3].when })
    assert.equal(0, cli.run({ "migrate", "--dir", dir, "--url", url }).code)
    assert.equal(0, cli.run({ "verify", "--dir", dir, "--url", url }).code)
  end)

  it("refuses a file that is there and changes nothing", function()
    local dir = project.write { { "setup", "select 1" } }
    tmp.write(dir .. "/more.sql", "select 2")
    local before = journal(dir)
    local ran = new(dir, "more")
    assert.equal(2, ran.code)
    assert.truthy(ran.stderr:find("the file exists already", 1, true))
    assert.same({ before, "select 2" }, { journal(dir), fs.read(dir .. "/more.sql") })
    assert.equal(2, new(dir, "setup").code)
    assert.equal(2, new(dir, "?!").code)
  end)

  it("needs a journal and no database", function()
    local ran = new(tmp.dir(), "x")
    assert.equal(2, ran.code)
    assert.truthy(ran.stderr:find("meta/_journal.json", 1, true))
  end)

  it("prints one JSON document", function()
    local dir = project.write {}
    local document = cjson.decode(new(dir, "x", "--json").stdout)
    assert.same({ 0, "0000_x", dir .. "/0000_x.sql" }, { document.idx, document.tag, document.file })
  end)
end)
