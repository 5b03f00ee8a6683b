local errors = require "migrator.error"
local gate = require "migrator.seed.gate"
local tiers = require "migrator.seed.tiers"
local tmp = require "spec.support.tmp"

local function config(files, environment, more)
  local out = { seeds = tmp.dir(files), environment = environment or { NODE_ENV = "development" },
    environment_variable = "NODE_ENV", hosts = {}, url = "postgres://localhost/x", unsafe = false }
  for key, value in pairs(more or {}) do out[key] = value end
  return out
end

local function tier(order, rest)
  return ('return { order = %d, environments = "all", idempotent = true, run = function() end%s }'):format(order, rest
    or "")
end

local function refusal(files, environment, names, more)
  local ok, err = pcall(tiers.select, config(files, environment, more), names)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  assert.equal(2, errors.exit_code(err))
  return err
end

describe("seed.tiers.load", function()
  it("puts tiers in order of need, then of declared order (R83, R94)", function()
    local found = tiers.load(config { ["c.lua"] = tier(1, ', needs = { "a" }'), ["a.lua"] = tier(3),
      ["b.lua"] = tier(2) })
    local names = {}
    for i, item in ipairs(found) do names[i] = item.name end
    assert.same({ "a", "c", "b" }, names)
  end)

  it("takes a folder's numbered files in order of their numbers", function()
    local found = tiers.load(config { ["a/tier.lua"] = tier(1), ["a/10_b.sql"] = "select 1", ["a/9_a.csv"] = "x\n",
      ["a/data.json"] = "[]" })
    assert.equal("9_a.csv", found[1].files[1].name)
    assert.equal("10_b.sql", found[1].files[2].name)
    assert.equal(2, #found[1].files)
  end)

  it("refuses an unknown key with the nearest known one (R90)", function()
    local err = refusal { ["a.lua"] = tier(1, ", enviroments = {}") }
    assert.equal('did you mean "environments"?', err.hint)
  end)

  it("refuses doubled names and orders, circles, unknown needs, missing keys (R77, R90)", function()
    local cases = {
      ["order 1 is used"] = { ["a.lua"] = tier(1), ["b.lua"] = tier(1) },
      ["the name x is used"] = { ["a.lua"] = tier(1, ', name = "x"'), ["b.lua"] = tier(2, ', name = "x"') },
      ["in a circle: a %-> b %-> a"] = { ["a.lua"] = tier(1, ', needs = { "b" }'),
        ["b.lua"] = tier(2, ', needs = { "a" }') },
      ["there is no such tier"] = { ["a.lua"] = tier(1, ', needs = { "z" }') },
      ['lacks "idempotent"'] = { ["a.lua"] = 'return { order = 1, environments = "all", run = print }' },
      ["no environment \"prod\""] = {
        ["a.lua"] = 'return { order = 1, environments = { "prod" }, idempotent = true, run = print }' },
      ["cannot be for production"] = { ["a.lua"] = tier(1, ', truncates = { "t" }') },
      ["has no number"] = { ["a/tier.lua"] = tier(1), ["a/users.sql"] = "select 1" },
      ["nothing reads this file"] = { ["a/tier.lua"] = 'return { order = 1, environments = "all", idempotent = true }',
        ["a/users.csv"] = "a\n", ["a/1_b.csv"] = "a\n" },
      ["is in no tier"] = { ["a.lua"] = tier(1), ["users.sql"] = "select 1" },
      ["has no tier.lua"] = { ["a/1_x.sql"] = "select 1" },
      ["would end it"] = { ["a/tier.lua"] = tier(1), ["a/1_x.sql"] = "select 1;\ncommit;" },
      ["cannot run in a transaction"] = { ["a/tier.lua"] = tier(1),
        ["a/1_x.sql"] = "create index concurrently i on t (a)" },
      ["only what it declares"] = { ["a/tier.lua"] = tier(1), ["a/1_x.sql"] = "truncate users" },
    }
    for message, files in pairs(cases) do assert.truthy(refusal(files).message:find(message), message) end
  end)

  it("says where SQL and Lua of a tier are wrong before anything runs (R77)", function()
    local err = refusal { ["a/tier.lua"] = tier(1), ["a/1_x.sql"] = "select 1;\nselect 'x" }
    assert.equal(2, err.line)
    err = refusal { ["a/tier.lua"] = tier(1), ["a/1_x.lua"] = "local x =\n" }
    assert.truthy(err.file:find("a/1_x.lua$"))
  end)
end)

describe("seed.tiers.select", function()
  local files = { ["reference.lua"] = tier(1),
    ["people.lua"] = 'return { order = 2, environments = { "development" }, idempotent = false, truncates = { "t" }, '
      .. "run = function() end }" }

  it("counts an unset or unknown environment as production, and says so (R84)", function()
    for _, value in ipairs { "", "prod", "Development" } do
      local found = tiers.select(config(files, { NODE_ENV = value }))
      assert.equal("production", found.environment.name)
      assert.equal(1, #found.tiers)
      assert.equal("people", found.skipped[1].tier.name)
      assert.truthy(found.environment.why:find("counts as production"))
    end
  end)

  it("refuses a tier asked for by name that the environment does not allow, and an unknown one (R84, R98)", function()
    assert.truthy(refusal(files, {}, { "people" }).message:find("not for production"))
    assert.equal('did you mean "people"?', refusal(files, {}, { "peple" }).hint)
  end)

  it("takes no empty list for all, and no other thing than a name", function()
    assert.matches("list of tiers is empty", refusal({ ["a.lua"] = tier(1) }, nil, {}).message, 1, true)
    assert.matches("one is a table", refusal({ ["a.lua"] = tier(1) }, nil, { {} }).message, 1, true)
  end)

  it("truncates on local hosts and on those named only (R85)", function()
    for _, url in ipairs { "postgres://localhost/x", "postgres://127.0.0.1/x", "postgres:///x?host=/tmp",
      "postgres://[::1]/x" } do
      assert.equal(2, #tiers.select(config(files, nil, { url = url })).tiers)
    end
    local far = "postgres://db.example.com/x"
    assert.truthy(refusal(files, nil, nil, { url = far }).message:find("db.example.com is not a local host", 1, true))
    assert.truthy(refusal(files, nil, nil, { url = "host=localhost,db.example.com dbname=x" }))
    assert.truthy(refusal(files, nil, nil, { url = "host=localhost hostaddr=10.0.0.7 dbname=x" }))
    assert.equal(2, #tiers.select(config(files, nil, { url = far, hosts = { "db.example.com" } })).tiers)
    assert.equal(1, #tiers.select(config(files, nil, { url = far }), { "reference" }).tiers)
  end)
end)

describe("seed.gate.is_local", function()
  it("takes sockets and loopback for local, and nothing that only looks like them", function()
    for _, host in ipairs { "", "/var/run/postgresql", "@abstract", "localhost", "LOCALHOST", "127.1.2.3", "::1" } do
      assert.is_true(gate.is_local(host), host)
    end
    for _, host in ipairs { "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com", "db" } do
      assert.is_false(gate.is_local(host), host)
    end
  end)
end)

describe("lua/meta/seed.lua", function()
  it("documents what a tier sees, all of it and nothing else", function()
    local api = require("migrator.seed.api").new { tier = { folder = "x", name = "x", truncates = {} },
      config = config {},
      environment = { name = "test" } }
    local text = require("migrator.core.fs").read("lua/meta/seed.lua")
    local documented = {}
    for name in text:gmatch("\nfunction Seed%.([%w_]+)") do documented[name] = true end
    local fields = text:match("%-%-%-@class migrator.Seed\n(.-)local Seed = {}")
    for name in fields:gmatch("@field ([%w_]+)") do documented[name] = true end
    for name in pairs(api) do assert.is_true(documented[name], name) end
    for name in pairs(documented) do assert.not_nil(rawget(api, name), name) end
  end)
end)
