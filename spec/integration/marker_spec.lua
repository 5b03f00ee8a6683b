local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local ONE = { { "0000_a", "create table a (i int primary key)" } }
local SEEDS = { ["seeds/a/tier.lua"] = 'return { order = 10, description = "d", environments = "all", '
    .. 'idempotent = true }',
  ["seeds/a/1_a.sql"] = "insert into a values (1) on conflict do nothing" }

local function mark(url, name, ...) return cli.run { "baseline", "--environment", name, "--url", url, ... } end

---A database that says what it is.
local function marked(name)
  local url, database = pg.database("marked")
  local ran = mark(url, name)
  assert.equal(0, ran.code, ran.stderr)
  return url, database
end

local function migrate(url, environment, ...)
  return cli.run { "migrate", "--dir", project.write(ONE), "--url", url, env = { NODE_ENV = environment }, ... }
end

local function value(url, query)
  local conn <close> = db.connect(url)
  return conn:value(query)
end

local function has_a(url) return value(url, "select to_regclass('a') is not null") end

describe("baseline --environment", function()
  it("R80 keeps the marker in the database, with when and by whom", function()
    local url, name = pg.database()
    local ran = mark(url, "staging")
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(("Marked %s: staging.\n"):format(name), ran.stdout)
    local conn <close> = db.connect(url)
    assert.same({ name = "staging", by = "postgres", recent = true },
      conn:row "select name, by, at > now() - interval '1 minute' as recent from migrator.environment")
    assert.matches("marked staging already", mark(url, "staging").stdout, 1, true)
  end)

  it("R80 needs no journal, and says in JSON what it did", function()
    local ran = cli.run { "baseline", "--environment", "test", "--url", (pg.database()), "--json", cwd = tmp.dir {} }
    assert.same({ 0, "test" }, { ran.code, cjson.decode(ran.stdout).environment }, ran.stderr)
  end)

  it("R80 R76 changes a marker only with the phrase that names the database and what it becomes", function()
    local url, name = marked "production"
    local ran = cli.run { "baseline", "--environment", "staging", "--url", url, stdin = "yes\n" }
    assert.equal(2, ran.code)
    assert.matches("the input is not a terminal", ran.stderr, 1, true)
    assert.equal("production", value(url, "select name from migrator.environment"))
    ran = mark(url, "staging", "--confirm", ("mark %s staging"):format(name))
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(1, value(url, "select count(*) from migrator.environment where name = 'staging'"))
  end)

  it("refuses a name that is no environment, and to do two things at once or nothing", function()
    local url = pg.database()
    for message, words in pairs { ['did you mean "production"?'] = { "--environment", "prodution" },
      ["not both at once"] = { "all", "--environment", "test" },
      ["baseline needs a tag, `all`, or --environment NAME"] = {} } do
      local ran = cli.run { "baseline", "--url", url, table.unpack(words) }
      assert.equal(2, ran.code)
      assert.matches(message, ran.stderr, 1, true)
    end
    assert.is_false(value(url, "select to_regnamespace('migrator') is not null"))
  end)

  it("warns when the runs of this environment would be refused", function()
    local ran = mark((pg.database()), "staging", "--verbose")
    assert.matches('notice: the database is marked "staging", but this run is for "production" (NODE_ENV is not set',
      ran.stderr, 1, true)
  end)
end)

describe("a marked database", function()
  it("R80 is migrated when NODE_ENV agrees, and when production is what nobody said", function()
    assert.equal(0, migrate(marked "staging", "staging").code)
    assert.equal(0, migrate(marked "production", "production").code)
    assert.equal(0, migrate((marked "production")).code)
  end)

  it("R80 is refused with 2 before anything, saying both, when they disagree", function()
    for database, environment in pairs { production = "development", staging = "production" } do
      local url = marked(database)
      local ran = migrate(url, environment)
      assert.equal(2, ran.code)
      assert.matches(('the database is marked "%s", but this run is for "%s" (NODE_ENV=%s)'):format(database,
        environment, environment), ran.stderr, 1, true)
      assert.is_nil(ran.stdout:find("Migration state", 1, true))
      assert.is_false(has_a(url))
      wait.till(function() -- a session's end takes the server a moment
        return value(url, "select count(*) from pg_locks where locktype = 'advisory'") == 0
      end, 5)
    end
    local ran = migrate((marked "staging"))
    assert.equal(2, ran.code)
    assert.matches('marked "staging", but this run is for "production" (NODE_ENV is not set', ran.stderr, 1, true)
  end)

  it("R80 is refused also when it was marked while the run waited for the lock", function()
    local url = pg.database("marked")
    local dir = project.write(ONE)
    local conn <close> = db.connect(url)
    local key = require("migrator.tracking").new("drizzle", "__drizzle_migrations").key
    conn:exec("select pg_advisory_lock($1::int8)", key)
    local log = tmp.dir {} .. "/log"
    local child = cli.start { "migrate", "--dir", dir, "--url", url, log = log, env = { NODE_ENV = "test" } }
    wait.till(function() return fs.find(log) and fs.read(log):find("holds the lock", 1, true) end, 10)
    conn:transaction(function() require("migrator.marker").write(conn, { name = "production" }) end)
    conn:exec("select pg_advisory_unlock($1::int8)", key)
    assert.equal(2, child:wait().code, fs.read(log))
    assert.is_false(has_a(url))
  end)

  it("R80 costs no round trip, whether it is marked or not", function()
    local function trips(url)
      assert.equal(0, migrate(url, "staging").code)
      pg.settle(url)
      return cjson.decode(migrate(url, "staging", "--json").stdout).round_trips
    end
    assert.same({ 1, 1 }, { trips(marked "staging"), trips((pg.database())) })
  end)

  it("R80 is told apart by a server that was built without XML, too", function()
    local url = marked "staging"
    local conn <close> = db.connect(url)
    conn:script [[create or replace function pg_catalog.query_to_xml(query text, nulls boolean, tableforest boolean,
      targetns text) returns xml language plpgsql as
      $$begin raise exception 'unsupported XML feature' using errcode = '0A000'; end$$]]
    local refused = migrate(url, "production")
    assert.same({ 2, 0 }, { refused.code, migrate(url, "staging").code })
    assert.matches('marked "staging"', refused.stderr, 1, true)
    -- A session's end takes the server a moment.
    wait.till(function() return conn:value "select count(*) from pg_locks where locktype = 'advisory'" == 0 end, 5)
  end)

  it("R80 is seen by a role without any right on it", function()
    local url, name = marked "staging"
    local conn <close> = db.connect(url)
    conn:exec(("create role %s_app login"):format(name))
    conn:exec(("grant create on database %s to %s_app"):format(name, name))
    conn:exec(("grant create on schema public to %s_app"):format(name))
    local there = url:gsub("//[^@/]*@", "//" .. name .. "_app@")
    assert.same({ 2, 0 }, { migrate(there, "production").code, migrate(there, "staging").code })
    conn:exec(("drop owned by %s_app"):format(name))
    conn:exec(("drop role %s_app"):format(name))
  end)

  it("R80 takes a table for the marker, never a view that somebody else wrote", function()
    local url = pg.database()
    local conn <close> = db.connect(url)
    conn:script "create schema migrator; create view migrator.environment as select (1 / 0)::text as name"
    assert.equal(0, migrate(url, "staging").code)
  end)

  it("R80 is verified like any other", function()
    local url = marked "staging"
    assert.equal(0, migrate(url, "staging").code)
    local ran = cli.run { "verify", "--dir", project.write(ONE), "--url", url, env = { NODE_ENV = "staging" } }
    assert.equal(0, ran.code, ran.stdout .. ran.stderr)
  end)

  it("R80 is neither seeded nor reset when they disagree", function()
    local url, name = marked "production"
    assert.equal(0, migrate(url, "production").code)
    local dir = project.write(ONE, tmp.dir(SEEDS) .. "/migrations"):gsub("/migrations$", "")
    for _, words in ipairs { { "seed" }, { "reset" }, { "reset", "--drop", "--confirm", "reset " .. name } } do
      local ran = cli.run { cwd = dir, env = { DATABASE_URL = url, NODE_ENV = "development" }, table.unpack(words) }
      assert.equal(2, ran.code, ran.stdout .. ran.stderr)
      assert.matches('the database is marked "production", but this run is for "development"', ran.stderr, 1, true)
    end
    assert.equal(0, value(url, "select count(*) from a"))
  end)

  it("R80 R78 is still marked after a reset", function()
    local url = marked "development"
    local dir = project.write(ONE, tmp.dir(SEEDS) .. "/migrations"):gsub("/migrations$", "")
    local ran = cli.run { "reset", "--drop", "--confirm", "reset-development", cwd = dir,
      env = { DATABASE_URL = url, NODE_ENV = "development" } }
    assert.equal(0, ran.code, ran.stderr)
    assert.same({ "development", 1 }, { value(url, "select name from migrator.environment"),
      value(url, "select count(*) from a") })
    assert.equal(2, migrate(url, "production").code)
  end)

  it("R80 R126 is no reason to deploy when it is another environment's", function()
    local url = marked "staging"
    assert.equal(0, migrate(url, "staging").code)
    local ran = cli.run { "gate", "--dir", project.write(ONE), "--url", url, env = { NODE_ENV = "production" } }
    assert.equal(2, ran.code)
    assert.matches('marked "staging"', ran.stderr, 1, true)
  end)

  it("R10 is shown by doctor, which fails when they disagree", function()
    local url = marked "staging"
    local dir = project.write(ONE)
    local function doctor(environment)
      return cli.run { "doctor", "--dir", dir, "--url", url, env = { NODE_ENV = environment } }
    end
    assert.matches("ok    marker       the database is marked staging", doctor("staging").stdout, 1, true)
    assert.equal(2, doctor("production").code)
  end)

  it("keeps its marker when an interrupted migration is done with its progress", function()
    local url = marked "staging"
    local journal = { ONE[1],
      { "0001_i", "create index concurrently i on a (i);\ncreate index concurrently j on a (i)" } }
    local ran = cli.run { "migrate", "--dir", project.write(journal), "--url", url, env = { NODE_ENV = "staging" } }
    assert.equal(0, ran.code, ran.stderr)
    assert.equal("staging", value(url, "select name from migrator.environment"))
  end)
end)
