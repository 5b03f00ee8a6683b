-- Rows of the requirements that no other spec has for its subject.
local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local A, B = { "0000_a", "create table a (id int);" }, { "0001_b", "create table b (id int);" }

local function value(url, query)
  local conn <close> = db.connect(url)
  return conn:value(query)
end

local function run(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

describe("status", function()
  it("R3 R28 shows every migration by its tag and changes nothing", function()
    local url = pg.database()
    local ran = cli.run { "status", "--json", "--dir", project.write { A, B }, "--url", url }
    assert.same({ 0, { "0000_a", "0001_b" } }, { ran.code, cjson.decode(ran.stdout).pending })
    assert.equal(0, value(url, "select count(*) from pg_namespace where nspname in ('drizzle', 'migrator')"))
  end)

  it("exits 10 with --check while something is pending, 0 when nothing is", function()
    local url, dir = pg.database(), project.write { A }
    assert.equal(10, cli.run({ "status", "--check", "--dir", dir, "--url", url }).code)
    run(url, dir)
    assert.equal(0, cli.run({ "status", "--check", "--dir", dir, "--url", url }).code)
  end)
end)

describe("migrate", function()
  it("R45 refuses with --attended where neither CI nor a terminal is, as at an application's start", function()
    local url, dir = pg.database(), project.write { A }
    local ran = cli.run { "migrate", "--attended", "--dir", dir, "--url", url, env = { CI = false } }
    assert.equal(2, ran.code)
    assert.matches("neither CI nor a terminal", ran.stderr, 1, true)
    assert.equal(0, cli.run({ "migrate", "--attended", "--dir", dir, "--url", url, env = { CI = "true" } }).code)
  end)

  it("R137 asks the script before anything changes, and tells it where a restore would have to stop", function()
    local url, dir = pg.database(), project.write { A, B }
    local function pipeline(body)
      tmp.write(dir .. "/pipeline.lua", ([[return pipeline { steps = {
        steps.migrate { dir = %q, before = function(run) %s end } } }]]):format(dir, body))
      return cli.run { dir .. "/pipeline.lua", env = { DATABASE_URL = url } }
    end
    local ran = pipeline "error 'no backup was made'"
    assert.equal(2, ran.code)
    assert.matches("no backup was made", ran.stderr, 1, true)
    assert.equal(0, value(url, "select count(*) from pg_tables where schemaname = 'public'"))
    ran = pipeline "print(table.concat(run.pending, ' '), run.recovery_point())"
    assert.matches("0000_a 0001_b\t%x+/%x+\t%d+%-%d+%-%d+T%d+:%d+:%d+%.%d+Z\n", ran.stdout)
    assert.not_matches("0000_a", pipeline("print(run.pending[1])").stdout, 1, true)
  end)
end)

describe("configuration", function()
  it("R11 adds .env to the environment and never overrides it", function()
    local url = pg.database()
    local dir = tmp.dir { [".env"] = "DATABASE_URL=" .. url .. "\nMIGRATOR_DIR=journal\n" }
    project.write({ A }, dir .. "/journal")
    assert.equal(0, cli.run({ "migrate", cwd = dir }).code)
    assert.equal(2, cli.run({ "migrate", cwd = dir, env = { MIGRATOR_DIR = "elsewhere" } }).code)
  end)
end)

describe("the journal", function()
  it("R21 assumes nothing of a file's name but its tag", function()
    local url = pg.database()
    local dir = project.write { { "20260102030405_x", "create table a ();" }, { "tro-7 größe", "create table b ();" } }
    assert.equal(0, run(url, dir).code)
  end)

  it("R22 R23 R25 cuts at the marker alone: several statements and DO bodies in one piece run as they are", function()
    local url = pg.database()
    local ran = run(url, project.write { { "0000_a", "create table a (id int); do $$ begin insert into a values (1); "
      .. "insert into a values (2); end $$;\n--> statement-breakpoint\ncreate function f() returns int language sql "
      .. "begin atomic select 1; select count(*)::int from a; end; create table b ();" } })
    assert.same({ 0, "" }, { ran.code, cli.said(ran) })
    assert.equal(2, value(url, "select f()"))
  end)

  it("R29 refuses Drizzle v1's layout by name", function()
    local dir = tmp.dir { ["20260102030405_x/migration.sql"] = "select 1;" }
    local ran = cli.run { "migrate", "--dir", dir, "--url", "postgresql://nobody@127.0.0.1:1/x" }
    assert.equal(2, ran.code)
    assert.matches("Drizzle v1's layout", ran.stderr, 1, true)
  end)
end)

describe("migrate", function()
  it("R43 goes forward only: there is no command to go back", function()
    assert.equal(2, cli.run({ "down" }).code)
    assert.equal(2, cli.run({ "rollback" }).code)
  end)

  it("R49 rehearses: everything runs, everything is rolled back", function()
    local url = pg.database()
    local ran = run(url, project.write { A, B }, "--rehearse")
    assert.equal(0, ran.code)
    assert.matches("Rehearsed 2 migration(s); everything was rolled back.", ran.stdout, 1, true)
    assert.equal(0, value(url, "select count(*) from pg_tables where schemaname in ('public', 'drizzle')"))
    ran = run(url, project.write { A, { "0001_b", "create index concurrently i on a (id);" } }, "--rehearse")
    assert.equal(2, ran.code)
    assert.matches("cannot be rehearsed", ran.stderr, 1, true)
    assert.equal(0, value(url, "select count(*) from pg_tables where schemaname in ('public', 'drizzle')"))
  end)

  it("R105 runs the whole chain on a throw-away server with --ephemeral", function()
    local ran = cli.run { "migrate", "--ephemeral", "--dir", project.write { A, B } }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("Applied 2 new migration(s).", ran.stdout, 1, true)
  end)

  it("R136 writes its log as JSON lines with --log json", function()
    local ran = run(pg.database(), project.write { A }, "--log", "json")
    for line in ran.stdout:gmatch("[^\n]+") do assert.equal("info", cjson.decode(line).level) end
  end)

  it("R144 prints no colours and no progress into a pipe", function()
    local ran = run(pg.database(), project.write { A, { "0001_b", "nope" } }, "--verbose")
    assert.not_matches("\27", ran.stdout .. ran.stderr, 1, true)
    assert.not_matches("\r", ran.stdout .. ran.stderr, 1, true)
  end)
end)
