local cjson = require "cjson"
local cli = require "spec.support.cli"
local fs = require "migrator.core.fs"
local tmp = require "spec.support.tmp"

local SPEC = [[
describe("widgets", function()
  it("sees the migrated schema", function()
    assert.equal(1, db.exec("insert into widget (name) values ($1) returning id", "a")[1].id)
    assert.equal("a", db:value("select name from widget"))
  end)
  it("runs as a role and rolls back", function()
    local who, tenant = as_role("clerk", { ["app.tenant"] = "7" }, function(conn)
      conn:exec("insert into widget (name) values ('rolled back')")
      return conn:value("select current_user"), conn:value("select current_setting('app.tenant')")
    end)
    assert.same({ "clerk", "7" }, { who, tenant })
    assert.equal(0, db.value("select count(*) from widget where name = 'rolled back'"))
  end)
  %s
end)
]]

local function project(more)
  return tmp.dir {
    ["migrations/meta/_journal.json"] = '{"version":"7","dialect":"postgresql","entries":[{"idx":0,"version":"7",'
      .. '"when":1700000000000,"tag":"0000_widgets","breakpoints":true}]}',
    ["migrations/0000_widgets.sql"] = "create table widget (id int generated always as identity, name text);\n"
      .. "--> statement-breakpoint\ncreate role clerk;--> statement-breakpoint\ngrant all on widget to clerk;\n",
    ["spec/widget_spec.lua"] = SPEC:format(more or ""),
  }
end

local function last_line(text) return text:match("([^\n]*)\n$") end

describe("migrator test", function()
  it("runs specs with db and as_role against the migrated database", function()
    local ran = cli.run { "test", cwd = project() }
    assert.equal("", ran.stderr)
    assert.equal("2 passed, 0 failed, 0 skipped", last_line(ran.stdout))
    assert.equal(0, ran.code)
  end)

  it("exits 1 on a failure and names its file and line", function()
    local ran = cli.run { "test", cwd = project 'it("is wrong", function() assert.equal(1, 2) end) pending("later")' }
    assert.equal(1, ran.code)
    assert.equal("2 passed, 1 failed, 1 skipped", last_line(ran.stdout))
    assert.matches("FAILED spec/widget_spec.lua:14: widgets is wrong", ran.stdout, 1, true)
  end)

  it("names the spec's line when a statement fails", function()
    local ran = cli.run { "test", cwd = project 'it("is wrong", function() db.exec "select 1/0" end)' }
    assert.matches("FAILED spec/widget_spec.lua:14: widgets is wrong", ran.stdout, 1, true)
    assert.matches("spec/widget_spec.lua:14: division by zero", ran.stdout, 1, true)
  end)

  it("counts an error in a setup and a file that does not load as failed", function()
    local dir = project 'describe("x", function() setup(function() error("no") end) it("y", function() end) end)'
    assert.equal("2 passed, 1 failed, 0 skipped", last_line(cli.run({ "test", cwd = dir }).stdout))
    fs.write(dir .. "/spec/broken_spec.lua", "this is not Lua")
    local ran = cli.run { "test", "spec/broken_spec.lua", cwd = dir }
    assert.equal("0 passed, 1 failed, 0 skipped", last_line(ran.stdout))
    assert.equal(1, ran.code)
  end)

  it("narrows with --filter, and reports as --json", function()
    local ran = cli.run { "test", "--json", "--filter", "as a role", cwd = project() }
    assert.same({ passed = 1, failed = 0, skipped = 0, failures = {} }, cjson.decode(ran.stdout))
  end)

  it("refuses --url, a spec that is not there, and a filter that matches nothing", function()
    for _, words in ipairs { { "--url", "postgres://x/y" }, { "nowhere_spec.lua" }, { "--filter", "no such test" } } do
      local ran = cli.run { "test", words[1], words[2], cwd = project() }
      assert.equal(2, ran.code)
    end
  end)
end)
