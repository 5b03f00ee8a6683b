local audit = require "migrator.audit"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local reset = require "migrator.reset"
local tmp = require "spec.support.tmp"

local JOURNAL = [[{"version":"7","dialect":"postgresql","entries":[
{"idx":0,"version":"7","when":1700000000000,"tag":"0000_a","breakpoints":true}]}]]
local SEEDS = { ["ref.lua"] = 'return { order = 1, environments = "all", idempotent = true, run = function(seed) '
  .. 'seed.upsert("t", { key = { "id" }, rows = { { id = 1 } } }) end }' }

describe("migrator reset", function()
  local url, name, dir, seeds

  before_each(function()
    url, name = pg.database("reset")
    dir = tmp.dir { ["meta/_journal.json"] = JOURNAL,
      ["0000_a.sql"] = 'create table t (id int primary key);\ncreate schema "Au""dit";\n'
        .. 'create table "Au""dit".log (id int);' }
    seeds = tmp.dir(SEEDS)
  end)

  after_each(function() pg.drop(name) end)

  local function migrator(options, more, stdin)
    options[#options + 1] = "--dir"
    options[#options + 1] = dir
    if options[1] == "reset" then
      options[#options + 1] = "--seeds"
      options[#options + 1] = seeds
    end
    options.env = { DATABASE_URL = url, NODE_ENV = "development" }
    for key, value in pairs(more or {}) do options.env[key] = value end
    options.stdin = stdin
    return cli.run(options)
  end

  local function value(sql)
    local conn <close> = db.connect(url)
    return conn:value(sql)
  end

  it("without --drop migrates and seeds, and drops nothing (R8)", function()
    local ran = migrator { "reset" }
    assert.equal(0, ran.code, ran.stderr)
    value("insert into t values (2) returning 1")
    ran = migrator { "reset" }
    assert.equal(0, ran.code)
    assert.equal(2, value "select count(*) from t")
  end)

  it("drops public, the tracking schema and what the journal made, and starts again (R78, R79)", function()
    assert.equal(0, migrator({ "reset" }).code)
    value([[do $$ begin create table public.stray (); grant usage on schema public to pg_monitor with grant option;
      end $$]])
    local before = value("select nspacl::text || nspowner::regrole from pg_namespace where nspname = 'public'")
    local ran = migrator { "reset", "--drop", "--confirm", "reset " .. name, "--json" }
    assert.equal(0, ran.code, ran.stderr)
    assert.is_true(value "select to_regclass('public.stray') is null")
    assert.equal(before, value("select nspacl::text || nspowner::regrole from pg_namespace where nspname = 'public'"))
    assert.equal(1, value "select count(*) from drizzle.__drizzle_migrations")
    assert.equal(1, value "select count(*) from t")
    assert.truthy(ran.stdout:find('"schema":"Au\\"dit","tables":1', 1, true))
    assert.truthy(ran.stdout:find('"database":"' .. name, 1, true))
  end)

  local function refused(code, options, more, stdin)
    assert.equal(0, migrator({ "migrate" }).code)
    local ran = migrator(options, more, stdin)
    assert.equal(code, ran.code, ran.stderr)
    assert.is_false(value "select to_regclass('public.t') is null")
    return ran
  end

  it("takes nothing but the exact phrase, and never a pipe's word for it (R74, R75, R76)", function()
    local phrase = "reset " .. name
    assert.truthy(refused(2, { "reset", "--drop" }, nil, phrase .. "\n").stderr:find("not a terminal", 1, true))
    assert.truthy(refused(2, { "reset", "--drop", "--confirm", phrase .. " " }).stderr:find("does not match", 1, true))
    refused(2, { "reset", "--drop", "--confirm", "yes" })
    refused(2, { "reset", "--confirm", phrase })
  end)

  it("is not for production, which is also what nobody named (R80)", function()
    for _, environment in ipairs { "production", "prod", "" } do
      refused(2, { "reset", "--drop", "--confirm", "reset " .. name }, { NODE_ENV = environment })
    end
  end)

  it("checks all that comes after before it drops: files, tiers, options (R77)", function()
    local phrase = "reset " .. name
    assert.equal(0, migrator({ "migrate" }).code)
    tmp.write(seeds .. "/bad.lua", "return { order = 1 }")
    refused(2, { "reset", "--drop", "--confirm", phrase })
    require("migrator.core.fs").remove(seeds .. "/bad.lua")
    refused(2, { "reset", "--drop", "--confirm", phrase, "--lite" })
    tmp.write(dir .. "/0000_a.sql", "select 'never closed")
    local ran = migrator { "reset", "--drop", "--confirm", phrase }
    assert.equal(2, ran.code)
    assert.is_false(value "select to_regclass('public.t') is null")
  end)

  it("shows other sessions, and refuses while one is at work (R82)", function()
    assert.equal(0, migrator({ "migrate" }).code)
    local other <close> = db.connect(url, { application_name = "the-app" })
    other:exec("begin")
    local ran = migrator { "reset", "--drop", "--confirm", "reset " .. name }
    assert.equal(5, ran.code)
    assert.truthy(ran.stderr:find('application "the-app"', 1, true))
    other:exec("rollback")
    ran = migrator { "reset", "--drop", "--confirm", "reset " .. name }
    assert.equal(0, ran.code)
    assert.truthy(ran.stderr:find('application "the-app"', 1, true))
  end)

  it("is not misled by a table of another schema that one of public's hides", function()
    assert.equal(0, migrator({ "migrate" }).code)
    local conn <close> = db.connect(url)
    conn:script(("create schema side; create table side.t (id int); alter database %s set search_path = public, side")
      :format(name))
    local ran = migrator { "reset", "--drop", "--confirm", "reset " .. name }
    assert.equal(0, ran.code, ran.stderr)
    assert.is_true(value "select to_regclass('side.t') is not null")
  end)

  it("sees the sessions of other roles too, of which an owner is told little (R82)", function()
    local admin, owner, app = pg.admin(), name .. "_owner", name .. "_app"
    local function as(role) return (url:gsub("//[^@/]*@", "//" .. role .. "@")) end
    for _, role in ipairs { owner, app } do admin:exec(("create role %s login"):format(role)) end
    admin:exec(("alter database %s owner to %s"):format(name, owner))
    local other <close> = db.connect(as(app))
    other:exec("begin")
    local ran = migrator({ "reset", "--drop", "--confirm", "reset " .. name }, { DATABASE_URL = as(owner) })
    other:close()
    admin:exec(("alter database %s owner to postgres"):format(name))
    for _, role in ipairs { owner, app } do admin:exec("drop role " .. role) end
    assert.equal(5, ran.code, ran.stderr)
    assert.matches("user " .. app, ran.stderr, 1, true)
  end)

  it("drops nothing when something in another schema would go too", function()
    assert.equal(0, migrator({ "migrate" }).code)
    value("do $$ begin create schema other; create view other.v as select id from public.t; end $$")
    local ran = migrator { "reset", "--drop", "--confirm", "reset " .. name }
    assert.equal(2, ran.code)
    assert.truthy(ran.stderr:find("relation other.v lies in another schema", 1, true))
    assert.is_false(value "select to_regclass('public.t') is null")
  end)

  it("is refused to a user who may not drop (R77)", function()
    assert.equal(0, migrator({ "migrate" }).code)
    local conn <close> = db.connect(url)
    conn:script("do $$ begin create role migrator_test_reset login; exception when duplicate_object then null; end $$")
    conn:exec("grant usage on schema drizzle to migrator_test_reset")
    conn:exec("set session authorization migrator_test_reset")
    local schemas = reset.schemas(conn, { schema = "drizzle" }, {})
    local ok, err = pcall(reset.check_privileges, conn, schemas)
    assert.is_false(ok)
    assert.is_true(errors.is(err, "config"))
  end)
end)

---A project with three tiers, two presets, and what the environment is to say.
local function make(files, environment)
  local url, name = pg.database("reseed")
  local all = { ["migrations/meta/_journal.json"] = JOURNAL,
    ["migrations/0000_a.sql"] = "create table t (id int primary key);\ncreate table u (id int primary key);",
    ["seeds/ref/tier.lua"] = 'return { order = 1, environments = "all", idempotent = true }',
    ["seeds/ref/10_t.csv"] = "id\n1\n",
    ["seeds/many/tier.lua"] = 'return { order = 2, environments = "all", idempotent = true, needs = { "ref" } }',
    ["seeds/many/10_u.jsonl"] = '{"id":1}\n{"id":2}\n',
    ["seeds/people/tier.lua"] = 'return { order = 3, environments = { "test", "development" }, idempotent = true }',
    ["seeds/people/10_u.csv"] = "id\n7\n",
    ["seeds/presets.lua"] = 'return { lite = { "ref" }, testing = { tiers = { "ref", "people" }, '
      .. 'description = "for specs" } }' }
  for path, text in pairs(files or {}) do all[path] = text or nil end
  return { url = url, name = name, dir = tmp.dir(all), env = environment or { NODE_ENV = "test" } }
end

local function run(it, words, env, stdin)
  local options = { cwd = it.dir, env = { DATABASE_URL = it.url }, stdin = stdin, table.unpack(words) }
  for key, value in pairs(it.env) do options.env[key] = value end
  for key, value in pairs(env or {}) do options.env[key] = value end
  return cli.run(options)
end

local function ask(it, query)
  local conn <close> = db.connect(it.url)
  return conn:value(query)
end

---Migrated, with a row that only a drop takes away.
local function filled(...)
  local it = make(...)
  assert.equal(0, run(it, { "migrate" }).code)
  ask(it, "insert into t values (99) returning 1")
  return it
end

local function is_kept(it) return ask(it, "select count(*) from t where id = 99") == 1 end

describe("migrator reset --drop of what is marked, or production", function()
  local function mark(it, name) assert.equal(0, run(it, { "baseline", "--environment", name }).code) end

  it("R75 wants reset-ENVIRONMENT of a marked database, and nothing else", function()
    local it = filled(nil, { NODE_ENV = "staging" })
    mark(it, "staging")
    for _, phrase in ipairs { "reset " .. it.name, "reset-production", "reset-staging ", "Reset-staging", "yes", "" } do
      local ran = run(it, { "reset", "--drop", "--confirm", phrase })
      assert.equal(2, ran.code, phrase)
      if phrase ~= "" then assert.matches('--confirm "reset-staging"', ran.stderr, 1, true) end
    end
    assert.is_true(is_kept(it))
    assert.equal(0, run(it, { "reset", "--drop", "--confirm", "reset-staging" }).code)
    assert.is_false(is_kept(it))
    assert.equal("staging", ask(it, "select name from migrator.environment"))
  end)

  it("R76 takes the phrase from MIGRATOR_CONFIRM, and never from a pipe", function()
    local it = filled()
    mark(it, "test")
    for _, word in ipairs { "yes\n", "reset-test\n", "y\ny\n" } do
      local ran = run(it, { "reset", "--drop" }, nil, word)
      assert.equal(2, ran.code)
      assert.matches("the input is not a terminal", ran.stderr, 1, true)
    end
    assert.equal(2, run(it, { "reset", "--drop" }, { MIGRATOR_CONFIRM = "" }, "reset-test\n").code)
    assert.equal(2, run(it, { "reset", "--drop" }, { MIGRATOR_CONFIRM = "reset-production" }).code)
    assert.is_true(is_kept(it))
    assert.equal(0, run(it, { "reset", "--drop" }, { MIGRATOR_CONFIRM = "reset-test" }).code)
    assert.is_false(is_kept(it))
  end)

  it("R74 drops nothing without --drop, whatever was confirmed", function()
    local it = filled()
    assert.equal(0, run(it, { "reset" }, { MIGRATOR_CONFIRM = "reset " .. it.name }).code)
    assert.is_true(is_kept(it))
  end)

  it("R80 wants of production the phrase, the host and the second factor, each from another place", function()
    local it = filled(nil, { NODE_ENV = "production" })
    local host = require("migrator.db").connect(it.url):info().host
    local listed = ("return { hosts = { %q } }"):format(host)
    local command, factor = { "reset", "--drop", "--confirm", "reset-production" }, { MIGRATOR_RESET_TARGET = it.name }
    local function refused(lacks, words, env)
      local ran = run(it, words, env)
      assert.equal(2, ran.code, ran.stdout)
      assert.matches("it lacks " .. lacks .. "\n", ran.stderr, 1, true)
      assert.matches("state: nothing was dropped", ran.stderr, 1, true)
    end
    refused("the phrase, its host in the list, the second factor", { "reset", "--drop" })
    refused("its host in the list", command, factor)
    tmp.write(it.dir .. "/migrator.config.lua", listed)
    refused("the second factor", command)
    refused("the second factor", command, { MIGRATOR_RESET_TARGET = "another" })
    refused("the second factor", command, { MIGRATOR_RESET_TARGET = "" })
    refused("the phrase", { "reset", "--drop" }, factor)
    assert.equal(2, run(it, { "reset", "--drop", "--confirm", "reset " .. it.name }, factor).code)
    tmp.write(it.dir .. "/migrator.config.lua", ("return { hosts = { %q }, reset_target = %q }"):format(host, it.name))
    assert.matches("unknown setting \"reset_target\"", run(it, command).stderr, 1, true)
    tmp.write(it.dir .. "/migrator.config.lua", listed)
    assert.is_true(is_kept(it))
    local ran = run(it, command, factor)
    assert.equal(0, ran.code, ran.stderr)
    assert.is_false(is_kept(it))
    assert.matches("environment production", ran.stdout, 1, true)
  end)

  it("R80 is refused where nobody said that it is production, with all consents given", function()
    local it = filled(nil, {})
    local host = require("migrator.db").connect(it.url):info().host
    tmp.write(it.dir .. "/migrator.config.lua", ("return { hosts = { %q } }"):format(host))
    local ran = run(it, { "reset", "--drop", "--confirm", "reset-production" }, { MIGRATOR_RESET_TARGET = it.name })
    assert.equal(2, ran.code)
    assert.matches("NODE_ENV is not set", ran.stderr, 1, true)
    assert.is_true(is_kept(it))
  end)
end)

describe("migrator reset --drop and what comes after", function()
  local function refused(code, it, words, text, env)
    local ran = run(it, { "reset", "--drop", "--confirm", "reset " .. it.name, table.unpack(words) }, env)
    assert.equal(code, ran.code, ran.stdout .. ran.stderr)
    assert.matches(text, ran.stderr, 1, true)
    assert.is_true(is_kept(it))
  end

  it("R77 the mode of a default that no parser knows is refused before the drop (founding 17.4)", function()
    local it = filled()
    refused(2, it, { "--lite" }, "unknown option '--lite'")
    refused(2, it, { "--seed", "lit" }, 'there is no preset or tier "lit"')
    refused(2, it, { "--seed", "lit" },
      'did you mean "lite"?; presets: full, lite, testing; tiers: ref, many, people')
    refused(2, it, { "--seed", "" }, 'there is no preset or tier ""')
    refused(2, it, { "--seed", "lite,people" }, "the preset lite stands alone")
    refused(2, it, { "--seed", "many" }, "tier many needs ref, which would not run")
  end)

  it("R77 every row of every file is read before the drop", function()
    refused(1, filled { ["seeds/many/10_u.jsonl"] = '{"id":1}\n{"id":\n' }, {}, "seeds/many/10_u.jsonl:2")
    refused(1, filled { ["seeds/ref/10_t.csv"] = 'id\n"1\n' }, {}, "seeds/ref/10_t.csv")
    refused(2, filled { ["seeds/presets.lua"] = 'return { lite = { "reff" } }' }, {}, 'there is no tier "reff"')
    refused(2, filled(), {}, "no folder of repeatable scripts", { MIGRATOR_REPEATABLE = "nowhere" })
  end)

  it("R77 extensions that the server lacks and roles that are not there are found before the drop", function()
    local it = filled()
    tmp.write(it.dir .. "/migrations/0000_a.sql", "create table t (id int);\ncreate extension if not exists nonesuch;")
    refused(2, it, {}, "the extension nonesuch, which this server does not have")
    it = filled { ["seeds/people/tier.lua"] = 'return { order = 3, environments = "all", idempotent = true, '
      .. 'role = "migrator_test_nobody" }' }
    refused(2, it, {}, "the role migrator_test_nobody, which is not there")
  end)

  it("R79 the default privileges of public are there again", function()
    local it = filled()
    ask(it, [[do $$ begin alter default privileges in schema public grant select, insert on tables to pg_monitor;
      alter default privileges in schema public grant usage on sequences to pg_monitor with grant option; end $$]])
    local query = [[select string_agg(concat(defaclobjtype, defaclacl), ' ' order by defaclobjtype)
      from pg_default_acl]]
    local before = ask(it, query)
    assert.equal(0, run(it, { "reset", "--drop", "--confirm", "reset " .. it.name }).code)
    assert.is_false(is_kept(it))
    assert.equal(before, ask(it, query))
    assert.is_true(ask(it, "select has_table_privilege('pg_monitor', 't', 'insert')"))
  end)

  it("R79 the default privileges of a role whose name must be quoted are there again", function()
    local it = filled()
    local role = ('"%s-App"'):format(it.name)
    ask(it, ([[do $$ begin create role %s; alter default privileges for role %s in schema public
      grant select on tables to pg_monitor; end $$]]):format(role, role))
    local ran = run(it, { "reset", "--drop", "--confirm", "reset " .. it.name })
    local kept = ask(it, "select count(*) from pg_default_acl")
    ask(it, ("do $$ begin drop owned by %s; drop role %s; end $$"):format(role, role))
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(1, kept)
  end)

  it("R78 R12 --seed names a preset or tiers", function()
    local it = filled()
    local function seeds(what)
      local ran = run(it, { "reset", "--drop", "--confirm", "reset " .. it.name, "--seed", what })
      assert.equal(0, ran.code, ran.stderr)
      return { ask(it, "select count(*) from t"), ask(it, "select count(*) from u") }
    end
    assert.same({ 1, 0 }, seeds "lite")
    assert.same({ 1, 1 }, seeds "testing")
    assert.same({ 1, 3 }, seeds "full")
    assert.same({ 1, 2 }, seeds "ref,many")
    assert.equal(1, ask(it, "select count(*) from drizzle.__drizzle_migrations"))
  end)

  it("R81 is recorded in the transaction that drops, and the trail outlives it", function()
    local it = make()
    assert.equal(0, run(it, { "migrate", "--audit" }).code)
    ask(it, "insert into t values (99) returning 1")
    ask(it, "do $$ begin grant select on migrator.audit to pg_monitor; create table migrator.progress (x int); end $$")
    assert.equal(0, run(it, { "reset", "--drop", "--confirm", "reset " .. it.name }, { GITHUB_ACTOR = "ada" }).code)
    assert.is_false(is_kept(it))
    local conn <close> = db.connect(it.url)
    local rows = audit.history(conn, 9)
    assert.same({ "seed", "migrate", "reset", "migrate" }, { rows[1].command, rows[2].command, rows[3].command,
      rows[4].command })
    assert.same({ "ada", rows[3].run, rows[3].run }, { rows[3].actor, rows[2].run, rows[1].run })
    assert.not_equal(rows[3].run, rows[4].run)
    assert.same({ "drizzle", "migrator", "public" }, { rows[3].applied[1].name, rows[3].applied[2].name,
      rows[3].applied[3].name })
    assert.is_true(conn:value "select has_table_privilege('pg_monitor', 'migrator.audit', 'select')")
    assert.is_true(conn:value "select to_regclass('migrator.progress') is null")
    assert.is_false((pcall(conn.exec, conn, "delete from migrator.audit")))
  end)

  it("R81 the trail may begin with the drop, and without its row nothing is dropped", function()
    local it = filled()
    assert.equal(0, run(it, { "reset", "--drop", "--audit", "--confirm", "reset " .. it.name }).code)
    local conn <close> = db.connect(it.url)
    assert.equal(3, #audit.history(conn, 9))
    conn:exec("insert into t values (99)")
    conn:exec("alter table migrator.audit add check (command <> 'reset') not valid")
    refused(1, it, {}, "a drop and its row in migrator.audit are one transaction")
  end)

  it("R81 a drop that fails leaves everything, and a row that says so", function()
    local it = make()
    assert.equal(0, run(it, { "migrate", "--audit" }).code)
    ask(it, "do $$ begin insert into t values (99); create schema o; create view o.v as select id from t; end $$")
    refused(2, it, {}, "relation o.v lies in another schema")
    local conn <close> = db.connect(it.url)
    local row = audit.history(conn, 1)[1]
    assert.same({ "reset", "failed" }, { row.command, row.result })
    assert.matches("relation o.v", row.error, 1, true)
  end)
end)

describe("scripts/reseed.lua", function()
  local SCRIPT = fs.absolute "scripts/reseed.lua"

  it("R97 R75 resets, migrates, verifies and seeds a preset, guarded, with a deadline of its own", function()
    local it = filled(nil, { NODE_ENV = "test", MIGRATOR_AUDIT = "true" })
    local phrase = { MIGRATOR_CONFIRM = "reset " .. it.name }
    local function refused(code, text, words, env)
      local ran = run(it, words, env, "yes\n")
      assert.equal(code, ran.code, ran.stderr)
      assert.matches(text, ran.stderr, 1, true)
      assert.is_true(is_kept(it))
    end
    refused(2, "SEED_PRESET is not set", { SCRIPT }, phrase)
    refused(2, 'there is no preset "lote" in seeds/presets.lua', { SCRIPT, "lote" }, phrase)
    refused(2, 'MIGRATOR_CONFIRM="reset ', { SCRIPT, "lite" })
    refused(2, "does not match", { SCRIPT, "lite" }, { MIGRATOR_CONFIRM = "yes" })
    refused(2, "it lacks", { SCRIPT, "lite" }, { NODE_ENV = "production" })
    local ran = run(it, { SCRIPT, "testing" }, phrase)
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("Dropped: schema drizzle (1 tables), migrator (0 tables), public (2 tables)", ran.stdout, 1, true)
    assert.same({ 1, 1 }, { ask(it, "select count(*) from t"), ask(it, "select count(*) from u") })
    local conn <close> = db.connect(it.url)
    local rows = audit.history(conn, 9)
    assert.same({ "seed", "migrate", "reset" }, { rows[1].command, rows[2].command, rows[3].command })
    assert.same({ rows[3].run, rows[3].run }, { rows[1].run, rows[2].run })
  end)

  it("R97 holds its deadline, and a preset's tiers stay or go whole", function()
    local it = filled { ["seeds/many/20_slow.sql"] = "select pg_sleep(30);" }
    local started = clock.now()
    local ran = run(it, { SCRIPT, "full" }, { MIGRATOR_CONFIRM = "reset " .. it.name, RESEED_DEADLINE = "3s" })
    assert.equal(4, ran.code, ran.stderr)
    assert.is_true(clock.now() - started < 15)
    assert.same({ 1, 0 }, { ask(it, "select count(*) from t"), ask(it, "select count(*) from u") })
  end)
end)

describe("steps.reset", function()
  it("refuses wrong options before anything runs", function()
    local it = filled()
    local function refused(text, options)
      tmp.write(it.dir .. "/p.lua", ("return pipeline { steps = { steps.reset { %s } } }"):format(options))
      local ran = run(it, { "p.lua" }, { MIGRATOR_CONFIRM = "reset " .. it.name })
      assert.equal(2, ran.code)
      assert.matches(text, ran.stderr, 1, true)
      assert.is_true(is_kept(it))
    end
    refused('no option "presets"', 'presets = "x"')
    refused("tiers or a preset, not both", 'preset = "lite", tiers = { "ref" }')
    refused("no preset \"x\"", 'preset = "x"')
    refused("no migrations folder nowhere", 'dir = "nowhere"')
  end)
end)

describe("reset.phrase", function()
  it("names the database, and the host when it is another machine (R75)", function()
    assert.equal("reset app", reset.phrase { database = "app", host = "/tmp" })
    assert.equal("reset app on db.example.com", reset.phrase { database = "app", host = "db.example.com" })
    assert.equal("reset app", reset.phrase({ database = "app", host = "/tmp" }, { name = "development" }))
  end)

  it("is what a marked database is, and production's own (R75)", function()
    local info = { database = "app", host = "db.example.com" }
    assert.equal("reset-staging", reset.phrase(info, { name = "staging", marked = true }))
    assert.equal("reset-production", reset.phrase(info, { name = "production" }))
  end)
end)
