-- docs/json.md promises what --json writes; here its tables are read and real documents are held against them.
local cjson = require "cjson"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local NOWHERE = "postgres://nobody@127.0.0.1:1/none?connect_timeout=2"
local CREATE = "create table t (id int primary key)"

local function read_schemas()
  local out, name = {}, nil
  for line in fs.read("docs/json.md"):gmatch("([^\n]*)\n") do
    local heading = line:match("^## (.+)$")
    if heading then
      name = heading
      out[name] = {}
    end
    local key, kind = line:match("^| `([%w_]+)` | (%S+) |")
    if key then out[name][key] = kind end
  end
  return out
end

local schemas = read_schemas()
local check_object

local SCALARS = {
  string = function(value) return type(value) == "string" end,
  boolean = function(value) return type(value) == "boolean" end,
  number = function(value) return type(value) == "number" end,
  integer = function(value) return type(value) == "number" and value == math.floor(value) end,
  any = function() return true end,
}

local function check_value(value, kind, where, text)
  local item = kind:match("^(.*)%[%]$")
  if item then
    assert.equal("table", type(value), where)
    for i, each in ipairs(value) do check_value(each, item, ("%s[%d]"):format(where, i), text) end
    if #value == 0 then -- decoded, {} and [] are the same: the text tells them apart
      assert.is_nil(next(value), where)
      assert.truthy(text:find(('"%s":[]'):format(where:match("[%w_]+$")), 1, true), where .. " is not a list")
    end
  elseif SCALARS[kind] then
    assert.truthy(SCALARS[kind](value), ("%s is %s, not a %s"):format(where, tostring(value), kind))
  else
    assert.equal("table", type(value), where)
    check_object(value, assert(schemas[kind], "docs/json.md does not describe " .. kind), where, text)
  end
end

function check_object(value, schema, where, text)
  for key, kind in pairs(schema) do
    local optional = kind:sub(-1) == "?"
    if value[key] == nil then
      assert.truthy(optional, ("%s.%s is not there"):format(where, key))
    else
      check_value(value[key], optional and kind:sub(1, -2) or kind, where .. "." .. key, text)
    end
  end
  for key in pairs(value) do assert.truthy(schema[key], ("docs/json.md knows no %s.%s"):format(where, key)) end
end

---Runs a command with --json and holds its document against a heading of the page.
local function document(heading, code, words)
  words[#words + 1] = "--json"
  local ran = cli.run(words)
  assert.equal(code, ran.code, ran.stderr)
  assert.equal(1, select(2, ran.stdout:gsub("\n", "")), "not one line: " .. ran.stdout)
  local value = cjson.decode(ran.stdout)
  check_object(value, assert(schemas[heading], heading), heading, ran.stdout)
  assert.is_nil(ran.stdout:find("\\/", 1, true))
  return value
end

describe("docs/json.md describes", function()
  local dir, url, name, env
  local TIERS = { ["seeds/a/tier.lua"] = 'return { order = 10, description = "d", environments = "all", '
    .. 'idempotent = true }', ["seeds/a/1_t.sql"] = "insert into t values (1) on conflict do nothing" }

  before_each(function()
    dir = tmp.dir(TIERS)
    project.write({ { "0000_a", CREATE }, { "0001_b", "alter table t add c text;\ndrop table if exists old" } },
      dir .. "/migrations")
    url, name = pg.database("json")
    env = { DATABASE_URL = url }
  end)

  local function run(heading, code, ...) return document(heading, code, { cwd = dir, env = env, ... }) end

  it("status, plan, migrate and verify, before and after", function()
    assert.equal(2, #run("status", 10, "status", "--check").pending)
    assert.equal("transaction", run("plan", 0, "plan").segments[1].kind)
    assert.equal("verify", run("verify", 1, "verify").failed.code)
    assert.equal(2, #run("migrate", 0, "migrate").applied_now)
    assert.is_true(run("verify", 0, "verify").ok)
    assert.same({}, run("status", 0, "status").pending)
  end)

  it("a migration that fails, a plan that is refused", function()
    tmp.write(dir .. "/migrations/0001_b.sql", "create table t (id int)")
    local failed = run("migrate", 1, "migrate").failed
    assert.same({ "42P07", "0001_b", "migrations/0001_b.sql" }, { failed.sqlstate, failed.migration, failed.file })
    assert.matches("migrator baseline 0001_b", failed.hint, 1, true)
    tmp.write(dir .. "/migrations/0001_b.sql", "select 1")
    run("migrate", 0, "migrate")
    tmp.write(dir .. "/migrations/0001_b.sql", "select 2")
    assert.equal("checksum", run("plan", 1, "plan").failed.code)
    assert.equal("checksum", run("status", 1, "status", "--check").failed.code)
    assert.equal("checksum", run("migrate", 1, "migrate").failed.code)
    assert.same({ "0001_b" }, run("status", 0, "status").edited)
    assert.equal("accept", run("repair", 0, "repair", "--accept", "0001_b", "--confirm",
      "repair " .. name).kind)
  end)

  it("seed, its list and its failure", function()
    run("migrate", 0, "migrate")
    assert.equal("a", run("seed", 0, "seed").tiers[1].tier)
    assert.is_true(run("seed --list", 0, "seed", "--list").tiers[1].runs)
    assert.is_true(run("seed --prove", 0, "seed", "--prove").tiers[1].proved)
    assert.same({}, run("status --history", 0, "status", "--history", "9").history)
    env.MIGRATOR_AUDIT = "all"
    run("seed", 0, "seed")
    run("migrate", 0, "migrate")
    assert.equal(2, #run("status --history", 0, "status", "--history", "9").history)
    env.NODE_ENV = "test"
    local reset = run("reset", 0, "reset", "--drop", "--confirm", "reset " .. name)
    assert.same({ 2, "a" }, { reset.migrate.applied, reset.seed.tiers[1].tier })
    tmp.write(dir .. "/seeds/a/1_t.sql", "insert into nowhere values (1)")
    assert.equal("42P01", run("seed", 1, "seed").failed.sqlstate)
  end)

  it("doctor, new, init, baseline", function()
    assert.is_true(run("doctor", 0, "doctor").ok)
    assert.equal("migrations/0002_third.sql", run("new", 0, "new", "third").file)
    assert.equal("here", run("init", 0, "init", "here").folder)
    assert.equal(3, #run("baseline", 0, "baseline", "all", "--confirm", "baseline " .. name).recorded)
  end)

  it("ephemeral", function()
    local log = tmp.dir {} .. "/log"
    local child <close> = cli.start { "ephemeral", "--quiet", "--json", log = log } -- luacheck: ignore child
    local deadline = clock.deadline(30)
    local text
    repeat
      clock.sleep(0.1)
      text = fs.find(log) and fs.read(log):match("^(%b{})\n")
    until text or clock.now() > deadline
    assert.is_string(text)
    check_object(cjson.decode(text), schemas.ephemeral, "ephemeral", text)
  end)

  it("pipelines, with a migrate step and without", function()
    tmp.write(dir .. "/p.lua", "return pipeline { steps = { function() end, function() error 'no' end } }")
    assert.equal("script", run("pipeline", 2, "--json", "p.lua").failed.code)
    tmp.write(dir .. "/p.lua", "return pipeline { steps = { steps.migrate {}, function() error 'no' end } }")
    local found = run("migrate", 2, "--json", "p.lua")
    assert.same({ 2, "failed" }, { #found.applied_now, found.steps[2].status })
  end)

  it("what every command writes when no server answers, or the journal is broken", function()
    local headings = { migrate = "migrate", status = "failure", plan = "failure", verify = "failure", seed = "seed",
      reset = "reset", baseline = "failure", repair = "failure", doctor = "doctor" }
    local more = { baseline = "all", repair = "--accept=0000_a" }
    env.DATABASE_URL = NOWHERE
    for command, heading in pairs(headings) do
      run(heading, 4, command, more[command])
    end
    tmp.write(dir .. "/migrations/meta/_journal.json", "{ broken")
    env.DATABASE_URL = url
    headings.verify, headings.seed = "failure", "seed"
    for command, heading in pairs(headings) do
      run(heading, 2, command, more[command])
    end
    run("failure", 2, "new", "x")
  end)
end)
