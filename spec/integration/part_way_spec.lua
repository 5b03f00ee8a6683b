-- A file that stopped part way goes on where it stopped, whatever the next run is told and however its head reads now.
local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local progress = require "migrator.progress"
local project = require "spec.support.project"
local server = require "migrator.server"
local tmp = require "spec.support.tmp"
local tracking = require "migrator.tracking"

local BREAK = "\n--> statement-breakpoint\n"
local HEAD = "-- migrator: no-transaction\n"
local BODY = "insert into log values (1);" .. BREAK .. "select 1/y from log;"
local FIRST = { "0000_a", "create table log (n int);" }

local function run(url, dir, ...)
  return cli.run { ..., "--dir", dir, "--url", url }
end

local function ask(url, query)
  local conn <close> = db.connect(url)
  return conn:value(query)
end

local function done(url)
  assert.equal(1, ask(url, "select count(*) from log"))
  assert.is_nil(ask(url, "select to_regnamespace('migrator')::text") ~= db.null or nil)
end

describe("a migration that stopped part way (R44)", function()
  local url, dir

  ---Half of 0001_b is done; what was missing is there now.
  local function stop(text, ...)
    url, dir = pg.database(), project.write { FIRST, { "0001_b", text } }
    local ran = cli.run { "migrate", "--dir", dir, "--url", url, ... }
    assert.equal(1, ran.code, ran.stderr)
    assert.matches("1 failed part way", ran.stderr, 1, true)
    local conn <close> = db.connect(url)
    conn:script "alter table log add y int default 1"
  end

  it("in a run of --tx none goes on in one without", function()
    stop(BODY, "--tx", "none")
    assert.equal(0, run(url, dir, "migrate").code)
    done(url)
  end)

  it("goes on when its header was taken out", function()
    stop(HEAD .. BODY)
    project.write({ FIRST, { "0001_b", BODY } }, dir)
    local ran = run(url, dir, "migrate")
    assert.equal(0, ran.code, ran.stderr)
    done(url)
  end)

  it("is not taken for a baseline when it is the first one", function()
    url = pg.database()
    dir = project.write { { "0000_first", HEAD .. "create table log (n int);" .. BREAK .. BODY } }
    assert.equal(1, run(url, dir, "migrate").code)
    local conn <close> = db.connect(url)
    conn:script "alter table log add y int default 1"
    local ran = run(url, dir, "migrate")
    assert.equal(0, ran.code, ran.stderr)
    done(url)
  end)

  it("may be finished by another run, and our schema be gone, while the first look is taken", function()
    local conn <close> = db.connect((pg.database()))
    local question = server.questions(tracking.new("drizzle", "__drizzle_migrations"), true)[1]
    local asked, times = question:gsub("pg_catalog%.to_regnamespace%('migrator'%) is not null", "true")
    assert.equal(1, times)
    assert.matches("<progress>false</progress>", conn:row(asked, conn:info().pid).ours, 1, true)
    assert.same({}, progress.list(conn, "drizzle.__drizzle_migrations"))
  end)

  it("is shown by plan with what is done, and refused as a script", function()
    stop(BODY, "--tx", "none")
    local ran = run(url, dir, "plan")
    assert.matches("0001_b.sql:1: (done) insert into log", ran.stdout, 1, true)
    assert.matches("1 statement(s) in 1 migration(s)", ran.stdout, 1, true)
    local found = cjson.decode(cli.run({ "plan", "--json", "--dir", dir, "--url", url }).stdout)
    assert.equal(1, found.statements)
    assert.is_true(found.segments[1].migrations[1].statements[1].done)
    ran = cli.run { "plan", "--sql", "--dir", dir, "--url", url }
    assert.equal(2, ran.code)
    assert.equal("", ran.stdout)
    assert.matches("0001_b stopped part way: a script for psql cannot go on there", ran.stderr, 1, true)
  end)

  it("says part way only where something stays, and not that anything was rolled back", function()
    url, dir = pg.database(), project.write { { "0000_a", HEAD .. "select 1/0;" .. BREAK .. "select 1;" } }
    assert.matches("1 failed and rolled back, 0 pending; nothing is applied", run(url, dir, "migrate").stderr, 1, true)
    stop(HEAD .. BODY)
    project.write({ FIRST, { "0001_b", HEAD .. BODY:gsub("%(1%)", "(2)") } }, dir)
    local ran = run(url, dir, "migrate")
    assert.equal(1, ran.code)
    assert.matches("0001_b was edited in its first 1 statement(s), which ran already", ran.stderr, 1, true)
    assert.matches("1 applied, 1 failed part way, 0 pending", ran.stderr, 1, true)
  end)
end)

describe("plan --sql for a file outside a transaction", function()
  it("R4 runs nothing of it on a database that is another one", function()
    local made, other = pg.database(), pg.database()
    local dir = project.write { { "0000_a", HEAD .. "create table only_here (i int);" } }
    local script = tmp.write(tmp.dir {} .. "/s.sql", cli.run({ "plan", "--sql", "--dir", dir, "--url", made }).stdout)
    local conn <close> = db.connect(other)
    conn:script [[create schema drizzle; create table drizzle.__drizzle_migrations (id serial primary key,
      hash text not null, created_at bigint);
      insert into drizzle.__drizzle_migrations (hash, created_at) values ('x', 1)]]
    local ran = process.run { cmd = { "psql", "-X", "-q", "-f", script, other } }
    assert.equal(3, ran.code)
    assert.matches("the tracking table is not as it was when this script was made", ran.stderr, 1, true)
    assert.is_nil(ask(other, "select to_regclass('only_here')::text") ~= db.null or nil)
    ran = process.run { cmd = { "psql", "-X", "-q", "-f", script, made } }
    assert.equal(0, ran.code, ran.stderr)
  end)
end)
