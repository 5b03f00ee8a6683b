local cli = require "spec.support.cli"
local db = require "migrator.db"
local errors = require "migrator.error"
local pg = require "spec.support.pg"
local run = require "migrator.seed.run"
local tiers = require "migrator.seed.tiers"
local tmp = require "spec.support.tmp"

local SCHEMA = [[
create table model (id text primary key, price numeric(12,6), info jsonb, tags text[], raw bytea, plain json,
  n bigint check (n <> 13), touched timestamptz);
create table owner (id int primary key, name text not null);
create table pet (id int generated always as identity primary key, owner int not null references owner, name text,
  unique (owner, name));]]

local ONCE = 'return { order = 1, environments = { "development" }, idempotent = true%s }'

describe("seed.run", function()
  local conn, url, name

  before_each(function()
    url, name = pg.database()
    conn = db.connect(url)
    conn:script(SCHEMA)
  end)

  after_each(function()
    conn:close()
    pg.drop(name)
  end)

  local function seed(files, more)
    local config = { seeds = tmp.dir(files), environment = { NODE_ENV = "development" },
      environment_variable = "NODE_ENV",
      hosts = {}, url = url, unsafe = false }
    return run.tiers(config, conn, tiers.select(config, more).tiers)
  end

  ---A tier of one Lua file.
  local function with(text, rest) return seed { ["a/tier.lua"] = ONCE:format(rest or ""), ["a/10_a.lua"] = text } end

  local function failure(...)
    local ok, err = pcall(...)
    assert.is_false(ok)
    assert.is_true(errors.is(err, "seed"), tostring(err))
    assert.equal("idle", conn:status())
    return err
  end

  it("counts created, updated and unchanged exactly, and runs again without effect (R86, R93)", function()
    local text = [[seed.upsert("model", { key = { "id" }, touch = "touched", rows = {
      { id = "a", price = 0.1, info = { x = { 1, 2 } }, tags = { "t,1", 'q"' }, raw = "\0\255\\", plain = { b = 1 }, n
        = 1 },
      { id = "b", price = %s, info = seed.null, tags = {}, raw = seed.null, plain = seed.null, n = 9007199254740993 }
        } })]]
    assert.same({ created = 2, updated = 0, unchanged = 0 }, with(text:format("2"))[1].tables.model)
    assert.same({ created = 0, updated = 0, unchanged = 2 }, with(text:format("2.000"))[1].tables.model)
    assert.equal(0, conn:value("select count(*) from model where touched is not null"))
    assert.same({ created = 0, updated = 1, unchanged = 1 }, with(text:format("3"))[1].tables.model)
    assert.equal("b", conn:value("select id from model where touched is not null"))
    local row = conn:row("select * from model where id = 'a'")
    assert.equal("0.100000", row.price)
    assert.same({ x = { 1, 2 } }, row.info)
    assert.same({ "t,1", 'q"' }, row.tags)
    assert.equal("\0\255\\", row.raw)
    assert.equal(9007199254740993, conn:value("select n from model where id = 'b'"))
  end)

  it("inserts only what is missing, or updates only the columns named", function()
    conn:exec("insert into owner values (1, 'old')")
    local results = with [[seed.insert_missing("owner", { key = { "id" }, rows = { { id = 1, name = "new" }, { id = 2,
      name = "two" } } })]]
    assert.same({ created = 1, updated = 0, unchanged = 1 }, results[1].tables.owner)
    assert.equal("old", conn:value("select name from owner where id = 1"))
    with [[seed.upsert("model", { key = { "id" }, update = { "n" }, rows = { { id = "a", n = 1, price = 1 } } })]]
    with [[seed.upsert("model", { key = { "id" }, update = { "n" }, rows = { { id = "a", n = 2, price = 2 } } })]]
    assert.equal("1.000000", conn:value("select price from model where n = 2"))
  end)

  it("copies every awkward byte as it is (R91, R92)", function()
    with [[seed.copy("owner", { "id", "name" }, { { 1, "back\\slash \\N" }, { 2, "tab\tnew\nline\rreturn" }, { 3,
      "\\." },
      { 4, "'; drop table owner; --" } })
      local i = 4
      seed.copy("owner", { "id", "name" }, function() i = i + 1 if i <= 5000 then return { id = i, name = "n" .. i }
        end end)]]
    assert.equal("back\\slash \\N", conn:value("select name from owner where id = 1"))
    assert.equal("tab\tnew\nline\rreturn", conn:value("select name from owner where id = 2"))
    assert.equal("\\.", conn:value("select name from owner where id = 3"))
    assert.equal("'; drop table owner; --", conn:value("select name from owner where id = 4"))
    assert.equal(5000, conn:value("select count(*) from owner"))
  end)

  it("loads numbered csv, jsonl, json and sql files in order (R99)", function()
    local results = seed { ["a/tier.lua"] = ONCE:format(', tables = { pet = { key = { "owner", "name" } } }'),
      ["a/1_owner.csv"] = 'id,name\n1,"A ""quoted"", name"\n2,"two\nlines"\n',
      ["a/2_owner.jsonl"] = '{"id": 3, "name": "three"}\n',
        ["a/3_model.json"] = '[{"id": "m", "info": {"e": [], "o": {}}}]',
      ["a/4_pet.csv"] = "owner,name\n1,Rex\n3,Tom\n",
        ["a/5_more.sql"] = "insert into owner values (4, 'é;')\non conflict do nothing;" }
    assert.same({ created = 4, updated = 0, unchanged = 0 }, results[1].tables.owner)
    assert.equal('{"e": [], "o": {}}', conn:value("select info::text from model"))
    assert.equal("two\nlines", conn:value("select name from owner where id = 2"))
    assert.equal(2, conn:value("select count(*) from pet"))
  end)

  it("names row, column, file and line of what COPY refuses (R91)", function()
    local tier = { ["a/tier.lua"] = ONCE:format(""), ["a/1_owner.csv"] = 'id,name\n1,"two\nlines"\nx,three\n' }
    local err = failure(seed, tier)
    assert.truthy(err.file:find("1_owner.csv$"))
    assert.equal(4, err.line)
    assert.truthy(err.message:find("column id"))
    tier["a/1_owner.csv"] = "id,nmae\n1,two\n"
    err = failure(seed, tier)
    assert.matches('has no column "nmae"', err.message, 1, true)
    assert.same({ "1_owner.csv", 1 }, { err.file:match("[^/]+$"), err.line })
    err = failure(seed, { ["a/tier.lua"] = ONCE:format(""),
      ["a/1_owner.jsonl"] = '{"id":1,"name":"a"}\n\n{"id":"x","name":"b"}\n' })
    assert.equal(3, err.line)
    assert.truthy(err.message:find("row 2, column id"))
  end)

  it("names the row that a constraint refuses, among many", function()
    local lines = {}
    for i = 1, 700 do lines[i] = ('{"id":"m%d","n":%d}'):format(i, i == 612 and 13 or i == 613 and 13 or i + 100) end
    local err = failure(seed, { ["a/tier.lua"] = ONCE:format(""), ["a/1_model.jsonl"] = table.concat(lines, "\n") })
    assert.equal(612, err.line)
    assert.equal("23514", err.sqlstate)
  end)

  it("refuses doubled and missing keys, unknown tables, columns and options (R89, R90)", function()
    local cases = {
      ["the same key %(id%) as row 1"] = [[seed.upsert("owner", { key = { "id" }, rows = { { id = 1, name = "a" }, {
        id = 1, name = "b" } } })]],
      ["has no value"] = [[seed.upsert("owner", { key = { "id" }, rows = { { id = seed.null, name = "a" } } })]],
      ["there is no table ownr"] = [[seed.copy("ownr", { "id" }, {})]],
      ['no column "nam"'] = [[seed.copy("owner", { "id", "nam" }, { { 1, "a" } })]],
      ['unknown option "keys"'] = [[seed.upsert("owner", { keys = { "id" }, rows = {} })]],
      ['column "name" has no value'] = [[seed.upsert("owner", { key = { "id" }, rows = { { id = 1, name = "a" }, { id
        = 2 } } })]],
      ["no unique constraint or index"] = [[seed.upsert("owner", { key = { "name" }, rows = { { id = 1, name = "a" } }
        })]],
      ["no such file"] = [[seed.csv "nothing.csv"]],
      ["outside the tier's folder"] = [[seed.csv "../x.csv"]],
      ["there is no seed.upsrt"] = [[seed.upsrt("owner", {})]],
      ["models first"] = [[seed.require(seed.rows("select 1 where false")[1], "models first")]],
      ["would end it"] = [[seed.exec("commit")]],
      ["only what it declares"] = [[seed.exec("truncate owner cascade")]],
    }
    for message, text in pairs(cases) do
      local err = failure(with, "\n" .. text)
      assert.truthy(err.message:find(message), tostring(err))
      assert.truthy(err.message:find("^tier a: "))
      assert.equal(2, err.line)
    end
  end)

  it("rolls a failing tier back as a whole and keeps those before it (R88)", function()
    local err = failure(seed, { ["a/tier.lua"] = ONCE:format(""), ["a/1_owner.csv"] = "id,name\n1,a\n",
      ["b/tier.lua"] = 'return { order = 2, environments = "all", idempotent = true }',
        ["b/1_owner.csv"] = "id,name\n2,b\n",
      ["b/2_x.sql"] = "select 1;\n  select nothing from owner;\n" })
    assert.equal("b", err.tier)
    assert.equal(2, err.line)
    assert.equal(10, err.column)
    assert.equal(1, #err.results)
    assert.equal(1, conn:value("select count(*) from owner"))
  end)

  it("empties its own tables only, and refuses when a stranger refers to them (R87)", function()
    conn:script("insert into owner values (1, 'a'); insert into pet (owner, name) values (1, 'Rex')")
    local head = 'return { order = 1, environments = { "development" }, idempotent = false, truncates = { %s } }'
    local files = { ["a/tier.lua"] = head:format('"owner"'), ["a/1_owner.csv"] = "id,name\n7,a\n" }
    local err = failure(seed, files)
    assert.truthy(err.message:find("cannot empty owner: pet refers to it", 1, true))
    files["a/tier.lua"] = head:format('"owner", "pet"')
    local results = seed(files)
    assert.equal(1, results[1].tables.pet.truncated)
    assert.same({ truncated = 1, created = 1, updated = 0, unchanged = 0 }, results[1].tables.owner)
    files["a/2_x.lua"] = [[seed.truncate { "model" }]]
    assert.truthy(failure(seed, files).message:find("not this tier's to empty", 1, true))
  end)

  it("wants the rows that a tier needs, before it does anything (R89)", function()
    local files = { ["a/tier.lua"] = ONCE:format(', needs = { "table:owner" }'),
      ["a/1_x.sql"] = "insert into model (id) values ('a')" }
    assert.truthy(failure(seed, files).message:find("table owner is empty", 1, true))
    conn:exec("insert into owner values (1, 'a')")
    assert.equal(1, seed(files)[1].tables.model.created)
  end)

  it("refuses a file for a table that is not there before the first tier runs (R77)", function()
    failure(seed, { ["a/tier.lua"] = ONCE:format(""), ["a/1_owner.csv"] = "id,name\n1,a\n",
      ["b/tier.lua"] = 'return { order = 2, environments = "all", idempotent = true }',
        ["b/1_nobody.csv"] = "id\n1\n" })
    assert.equal(0, conn:value("select count(*) from owner"))
  end)

  it("says which file to number before which when a reference comes too early (R94)", function()
    local err = failure(seed, { ["a/tier.lua"] = ONCE:format(', tables = { pet = { key = { "owner", "name" } } }'),
      ["a/1_pet.csv"] = "owner,name\n1,Rex\n", ["a/2_owner.csv"] = "id,name\n1,a\n" })
    assert.equal("2_owner.csv brings the rows of owner: number it before 1_pet.csv", err.hint)
    assert.equal(2, err.line)
  end)

  it("stops at a line that would end a COPY early instead of losing rows", function()
    local err = failure(seed, { ["a/tier.lua"] = ONCE:format(""), ["a/1_owner.csv"] = "id,name\n1,a\n\\.\n2,b\n" })
    assert.equal(3, err.line)
  end)

  it("runs as another role with its settings when the tier asks (R96)", function()
    local results = with([[seed.require(seed.rows("select current_setting('app.tenant_id') as t")[1].t == "t1")
      seed.require(seed.rows("select current_user = 'pg_monitor' as ok")[1].ok)]],
      ', role = "pg_monitor", vars = { ["app.tenant_id"] = "t1" }')
    assert.equal("a", results[1].tier)
  end)

  it("loads fifty thousand rows from CSV and upserts them again", function()
    local lines = { "id,name" }
    for i = 1, 50000 do lines[#lines + 1] = i .. ",name " .. i end
    local files = { ["a/tier.lua"] = ONCE:format(""), ["a/1_owner.csv"] = table.concat(lines, "\n") }
    assert.equal(50000, seed(files)[1].tables.owner.created)
    conn:exec("update owner set name = 'x' where id <= 10")
    assert.same({ created = 0, updated = 10, unchanged = 49990 }, seed(files)[1].tables.owner)
  end)
end)

describe("migrator seed", function()
  local url, name
  local DIR = "spec/fixtures/trovella/migrations"
  local function migrator(options, more)
    options.env = { DATABASE_URL = url, NODE_ENV = "development" }
    for key, value in pairs(more or {}) do options.env[key] = value end
    return cli.run(options)
  end

  setup(function()
    url, name = pg.database("seed")
  end)

  teardown(function() pg.drop(name) end)

  it("refuses while migrations are pending (R95)", function()
    local ran = migrator { "seed", "--dir", DIR }
    assert.equal(1, ran.code)
    assert.truthy(ran.stderr:find("10 migration(s) are pending", 1, true))
  end)

  it("seeds the sample project, a line a tier, and again without effect where it says so (R7, R83, R86, R93)",
    function()
    assert.equal(0, migrator({ "migrate", "--dir", DIR }).code)
    local first = migrator { "seed", "--dir", DIR }
    assert.equal(0, first.code, first.stderr)
    assert.truthy(first.stdout:find("search +%S+ %S+ +document_chunk 6 created"))
    local again = migrator { "seed", "reference", "research", "search", "--dir", DIR }
    assert.truthy(again.stdout:find("ai_model 4 unchanged; ai_model_pricing 5 unchanged", 1, true))
    assert.truthy(again.stdout:find("document_chunk 6 unchanged", 1, true))
    local conn <close> = db.connect(url)
    assert.equal(1536,
      conn:value("select array_length(string_to_array(embedding::text, ','), 1) from document_chunk limit 1"))
  end)

  it("corrects a price on an existing key", function()
    local conn <close> = db.connect(url)
    conn:exec("update ai_model_pricing set input_per_mtok = 99 where model_id = 'gpt-5-mini'")
    local ran = migrator { "seed", "reference", "--json", "--dir", DIR }
    assert.truthy(ran.stdout:find('{"created":0,"table":"ai_model_pricing","unchanged":4,"updated":1}', 1, true))
  end)

  it("runs the reference tier alone in production and lists the others with the reason (R84, R95)", function()
    local ran = migrator({ "seed", "--dir", DIR }, { NODE_ENV = false })
    assert.equal(0, ran.code)
    assert.truthy(ran.stdout:find("NODE_ENV is not set: counts as production", 1, true))
    assert.truthy(ran.stdout:find("development  skipped", 1, true))
    ran = migrator({ "seed", "development", "--dir", DIR }, { NODE_ENV = "production" })
    assert.equal(2, ran.code)
  end)

  it("proves the tiers that claim to be idempotent, and finds one that is not", function()
    local ran = migrator { "seed", "--prove", "--dir", DIR }
    assert.equal(0, ran.code, ran.stderr)
    local head = 'return { order = 1, environments = "all", idempotent = true, '
    local seeds = tmp.dir { ["a.lua"] = head .. "run = function(seed) "
      .. [[seed.exec("insert into verification (id, identifier, value, expires_at) ]]
      .. [[values (gen_random_uuid()::text, 'a', 'b', now())") end }]] }
    ran = migrator { "seed", "--prove", "--dir", DIR, "--seeds", seeds }
    assert.equal(1, ran.code)
    assert.truthy(ran.stderr:find("public.verification: 1 rows after the first run, 2 after the second", 1, true))
  end)
end)

describe("seed presets", function()
  local TIER = 'return { order = %d, environments = %s, idempotent = true, needs = { %s } }'
  local FILES = { ["ref/tier.lua"] = TIER:format(1, '"all"', ""), ["ref/10_owner.csv"] = "id,name\n1,a\n",
    ["pets/tier.lua"] = TIER:format(2, '"all"', '"ref"'), ["pets/10_pet.csv"] = "id,owner,name\n1,1,rex\n",
    ["people/tier.lua"] = TIER:format(3, '{ "test" }', ""), ["people/10_owner.csv"] = "id,name\n2,b\n" }

  local function folder(presets)
    local dir = tmp.dir {}
    for path, text in pairs(FILES) do tmp.write(dir .. "/seeds/" .. path, text) end
    if presets then tmp.write(dir .. "/seeds/presets.lua", presets) end
    tmp.write(dir .. "/migrations/0000_a.sql", (SCHEMA:gsub("generated always", "generated by default")))
    tmp.write(dir .. "/migrations/meta/_journal.json", [[{"version":"7","dialect":"postgresql","entries":[
      {"idx":0,"version":"7","when":1700000000000,"tag":"0000_a","breakpoints":true}]}]])
    return dir
  end

  local function program(dir, environment, url, ...)
    return cli.run { cwd = dir, env = { DATABASE_URL = url, NODE_ENV = environment }, ... }
  end

  local PRESETS = 'return { lite = { "ref" }, testing = { tiers = { "ref", "people" }, description = "for specs" } }'

  it("R95 lite, full and testing are data: each runs its tiers, in the tiers' order", function()
    local url, name = pg.database("presets")
    local dir = folder(PRESETS)
    assert.equal(0, program(dir, "test", url, "migrate").code)
    for _, case in ipairs { { "lite", 1, 0 }, { "testing", 2, 0 }, { "full", 2, 1 } } do
      local ran = program(dir, "test", url, "seed", "--preset", case[1])
      assert.equal(0, ran.code, ran.stderr)
      local conn <close> = db.connect(url)
      assert.same({ case[2], case[3] }, { conn:value "select count(*) from owner",
        conn:value "select count(*) from pet" })
    end
    pg.drop(name)
  end)

  it("R77 an unknown preset is refused before a database is asked for, with the list and a suggestion", function()
    local ran = program(folder(PRESETS), "test", false, "seed", "--preset", "lit")
    assert.equal(2, ran.code)
    assert.matches('there is no preset "lit" in seeds/presets.lua', ran.stderr, 1, true)
    assert.matches('did you mean "lite"?; presets: full, lite, testing', ran.stderr, 1, true)
    ran = program(folder(), "test", false, "seed", "--preset", "lite")
    assert.matches("presets: full\n", ran.stderr, 1, true)
  end)

  it("R84 a preset with a tier that may not run here is refused as the tier itself is; full leaves it out", function()
    local ran = program(folder(PRESETS), "production", false, "seed", "--preset", "testing")
    assert.equal(2, ran.code)
    assert.matches("tier people is not for production (only test)", ran.stderr, 1, true)
    local config = { seeds = folder(PRESETS) .. "/seeds", environment = { NODE_ENV = "production" },
      environment_variable = "NODE_ENV", hosts = {} }
    local selection = tiers.select(config, { preset = "full" })
    assert.same({ 2, "people" }, { #selection.tiers, selection.skipped[1].tier.name })
  end)

  it("are listed, and stand alone", function()
    local ran = program(folder(PRESETS), "test", false, "seed", "--list")
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("\ntesting  ref, people  for specs\n", ran.stdout, 1, true)
    for _, words in ipairs { { "ref" }, { "--list" }, { "--prove" } } do
      assert.equal(2, program(folder(PRESETS), "test", false, "seed", "--preset", "lite", table.unpack(words)).code)
    end
  end)

  it("R90 what is wrong in presets.lua is an error before anything runs", function()
    for text, message in pairs {
      ["return 1"] = "the file returns the presets", [""] = "the file returns the presets",
      ["return { lite = { 'reff' } }"] = 'preset lite: there is no tier "reff"',
      ["return { lite = {} }"] = "preset lite is empty", ["return { lite = 'ref' }"] = 'wants "all" or a list of tiers',
      ["return { ref = { 'ref' } }"] = "preset ref has the name of a tier",
      ["return { lite = { 'pets' } }"] = "preset lite lacks tier ref, which pets needs",
      ["return { lite = { tiers = 'all', descriptoin = 'x' } }"] = 'unknown key "descriptoin"',
      ["return { lite = { tiers = 'all', description = 1 } }"] = "description wants a text",
      ["return { lite = { 1 } }"] = "the tiers are a list of names",
      ["return { { 'ref' } }"] = "a preset's name is made of",
      ["return { order = 1, environments = 'all', run = print }"] = 'wants "all" or a list of tiers',
      ["return { lite = nowhere.x }"] = "presets.lua:1: ", ["return {"] = "presets.lua:1:",
    } do
      local ran = program(folder(text), "test", false, "seed")
      assert.equal(2, ran.code, text)
      assert.matches(message, ran.stderr, 1, true)
    end
  end)
end)
