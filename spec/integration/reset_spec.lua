local cli = require "spec.support.cli"
local db = require "migrator.db"
local errors = require "migrator.error"
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

describe("reset.phrase", function()
  it("names the database, and the host when it is another machine (R75)", function()
    assert.equal("reset app", reset.phrase { database = "app", host = "/tmp" })
    assert.equal("reset app on db.example.com", reset.phrase { database = "app", host = "db.example.com" })
  end)
end)
