local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local url = require "migrator.lib.url"

local TROVELLA = "spec/fixtures/trovella/migrations"

local function doctor(target, dir, ...) return cli.run { "doctor", "--url", target, "--dir", dir or TROVELLA, ... } end

---The checks of one run by name: status and message of the first that is not ok, or else of the first.
local function checks(ran)
  local out = {}
  for _, check in ipairs(cjson.decode(ran.stdout).checks) do
    if not out[check.name] or out[check.name].status == "ok" then out[check.name] = check end
  end
  return out
end

local function find(target, dir) return checks(doctor(target, dir, "--json")) end

describe("doctor", function()
  it("R10 finds nothing wrong where nothing is", function()
    local ran = doctor((pg.database()))
    assert.equal(0, ran.code, ran.stdout)
    assert.falsy(ran.stdout:find("\nfail", 1, true))
    for _, name in ipairs { "url", "journal", "server", "login", "version", "encoding", "pooler", "privileges",
      "run lock", "indexes", "extensions", "state", "files" } do
      assert.truthy(ran.stdout:find("\nok    " .. name, 1, true), name)
    end
  end)

  it("R10 R65 names the privileges that a user lacks, and the grant", function()
    local target, name = pg.database()
    pg.admin():exec("create role " .. name .. " login")
    local words = url.conninfo(target)
    local low = ("host=%s port=%s dbname=%s user=%s"):format(words.host, words.port or 5432, name, name)
    local ran = doctor(low, nil, "--json")
    assert.equal(2, ran.code, ran.stdout)
    local check = checks(ran).privileges
    assert.same({ "fail", ('grant create on database "%s" to "%s"'):format(name, name) }, { check.status, check.mend })
    pg.drop(name)
    pg.admin():exec("drop role " .. name)
  end)

  it("R65 finds an extension that the server does not have", function()
    local dir = project.write { { "0000_a", 'create extension if not exists "no_such_thing"' } }
    local check = find(pg.database(), dir).extensions
    assert.equal("fail", check.status)
    assert.truthy(check.message:find("no_such_thing (created by 0000_a)", 1, true))
  end)

  it("R10 says who holds the run lock", function()
    local target = pg.database()
    local conn <close> = db.connect(target)
    local tracking = require("migrator.tracking").new("drizzle", "__drizzle_migrations")
    conn:exec("select pg_advisory_lock($1::int8)", tracking.key)
    local check = find(target)["run lock"]
    assert.equal("warn", check.status)
    assert.truthy(check.message:find(("held by pid %d,"):format(conn:info().pid), 1, true))
  end)

  it("finds files that cannot run, and what stands against a run", function()
    local target = pg.database()
    local dir = project.write { { "0000_a", "create table a (i int)" } }
    cli.run { "migrate", "--dir", dir, "--url", target }
    project.write({ { "0000_a", "create table a (i bigint)" }, { "0001_b", "rollback" } }, dir)
    local found = find(target, dir)
    assert.same({ "fail", "fail" }, { found.files.status, found.state.status })
    assert.truthy(found.files.message:find("0001_b.sql:1:1", 1, true))
    assert.equal(1, doctor(target, dir).code)
  end)

  it("exits 4 where no server answers or nobody may log in, 2 where a setting is missing", function()
    local nowhere = "postgresql://127.0.0.1:1/x"
    assert.same({ 4, "no server answers there" }, { doctor(nowhere).code, find(nowhere).server.message })
    assert.equal(4, doctor((pg.database():gsub("migrator_test_", "migrator_test_no_"))).code)
    assert.equal(2, cli.run({ "doctor", "--dir", TROVELLA }).code)
    assert.equal(2, doctor(pg.database(), tmp.dir()).code)
  end)

  it("R133 prints no password", function()
    local ran = doctor("postgresql://u:Sesame42@127.0.0.1:1/x")
    assert.falsy((ran.stdout .. ran.stderr):find("Sesame42", 1, true))
    assert.truthy(ran.stdout:find("u:***@", 1, true))
  end)

  it("finds a read-only session", function()
    local target, name = pg.database()
    pg.admin():exec(("alter database %s set default_transaction_read_only = on"):format(name))
    local check = find(target).pooler
    assert.same({ "fail", true }, { check.status, check.message:find("read-only", 1, true) ~= nil })
  end)

  it("names INVALID indexes and a migration that stopped part way", function()
    local target = pg.database()
    local conn <close> = db.connect(target)
    conn:script "create table t (v int); insert into t values (1), (1)"
    local dir = project.write { { "0000_a",
      "create index concurrently fine on t (v); create unique index concurrently one on t (v);" } }
    assert.equal(1, cli.run({ "migrate", "--url", target, "--dir", dir }).code)
    local status = cli.run { "status", "--url", target, "--dir", dir }
    assert.matches("0000_a stopped part way: its first 1 statement(s) are done", status.stderr, 1, true)
    assert.matches("stopped part way", doctor(target, dir).stdout, 1, true)
    pcall(conn.exec, conn, "create unique index concurrently two on t (v)")
    local found = find(target, dir).indexes
    assert.same({ "warn", "two of t is INVALID: building it was cut off" }, { found.status, found.message })
  end)
end)
