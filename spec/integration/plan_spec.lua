local cjson = require "cjson"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local TROVELLA = "spec/fixtures/trovella/migrations"

local function plan(url, dir, ...) return cli.run { "plan", "--dir", dir, "--url", url, ... } end

local function psql(url, text)
  local path = tmp.write(tmp.dir() .. "/plan.sql", text)
  return process.run { cmd = { pg.program("psql"), "-X", "-q", "-f", path, "-d", url }, deadline = clock.deadline(120) }
end

local function rows(url)
  local conn <close> = db.connect(url)
  return conn:value [[select coalesce(string_agg(id || ' ' || hash || ' ' || created_at, E'\n' order by id), '')
    from drizzle.__drizzle_migrations]]
end

---The script's end state beside migrate's: schema dump (less our own schema) and tracking rows.
local function compare(dir)
  local theirs, ours = pg.database(), pg.database()
  local migrated = cli.run { "migrate", "--dir", dir, "--url", ours, "--quiet", seconds = 120 }
  assert.equal(0, migrated.code, migrated.stderr)
  local script = plan(theirs, dir, "--sql", "--quiet")
  assert.equal(0, script.code, script.stderr)
  local ran = psql(theirs, script.stdout)
  assert.equal(0, ran.code, ran.stderr)
  assert.equal(rows(ours), rows(theirs))
  assert.equal(pg.dump(ours, "-N", "migrator"), pg.dump(theirs, "-N", "migrator"))
  return theirs
end

describe("plan --sql", function()
  it("R4 is a script by which psql comes to the state that migrate leaves", function()
    local url = compare(TROVELLA)
    assert.equal(0, cli.run({ "verify", "--dir", TROVELLA, "--url", url }).code)
    assert.truthy(plan(url, TROVELLA).stdout:find("Nothing to do.", 1, true))
  end)

  it("R4 R39 keeps CONCURRENTLY, COMMIT chunks and new enum values outside of transactions", function()
    compare(project.write {
      { "0000_a", "create type mood as enum ('ok'); create table a (i int, m mood); -- end" },
      { "0001_b", "create index concurrently ai on a (i)" },
      { "0002_c", "insert into a values (1);\n--> statement-breakpoint\nCOMMIT;\n--> statement-breakpoint\n"
        .. "create index concurrently am on a (m);\n--> statement-breakpoint\nBEGIN;\n--> statement-breakpoint\n"
        .. "insert into a values (2)" },
      { "0003_d", "alter type mood add value 'bad'" },
      { "0004_e", "insert into a values (3, 'bad'); -- 'quoted' $1 :x \\ here" },
      { "0005_f", "-- nothing at all" },
    })
  end)

  for _, name in ipairs { "cosmo-controlplane", "sim-studio", "kaneo" } do
    it("R4 does the same as migrate for " .. name, function()
      local shared = project.shared()
      if not shared then return pending("needs the shared corpus (MIGRATOR_SHARED)") end
      local vector = pg.admin():value("select count(*) > 0 from pg_available_extensions where name = 'vector'")
      if name == "sim-studio" and not vector then return pending("needs the extension vector") end
      compare(shared .. "/corpus/" .. name .. "/migrations")
    end)
  end

  it("refuses to run on another database than the one it was made for", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (i int)" } }
    local script = plan(url, dir, "--sql").stdout
    assert.equal(0, psql(url, script).code)
    local again = psql(url, script)
    assert.equal(3, again.code)
    assert.truthy(again.stderr:find("not as it was when this script was made", 1, true))
    assert.truthy(rows(url):find("^1 %x+ 1700000000000$"))
  end)

  it("makes no script where policy refuses the run", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (i int)" } }
    cli.run { "migrate", "--dir", dir, "--url", url }
    tmp.write(dir .. "/0000_a.sql", "create table a (i bigint)")
    local ran = plan(url, dir, "--sql")
    assert.same({ 1, "" }, { ran.code, ran.stdout })
    assert.truthy(ran.stderr:find("was edited after it was applied", 1, true))
    assert.equal(1, plan(url, dir, "--check").code)
  end)
end)

describe("plan", function()
  it("R4 R108 shows every statement with file and line, what it locks and what it takes away", function()
    local dir = project.write { { "0000_a", "create table a (i int, j int);\n\n\nalter table a drop column i;\n" },
      { "0001_b", "drop index concurrently if exists x" } }
    local ran = plan(pg.database(), dir)
    assert.equal(0, ran.code)
    assert.equal(([[
Migration state: 0 applied, 2 expected, 2 pending
Part 1 of 2: one transaction
  DIR/0000_a.sql:1: create table a (i int, j int)
  DIR/0000_a.sql:4: alter table a drop column i
      locks a: ACCESS EXCLUSIVE
      destructive: drops the column a.i and what is in it
Part 2 of 2: statement by statement, outside a transaction
  because DIR/0001_b.sql:1 DROP INDEX CONCURRENTLY cannot run in a transaction
  DIR/0001_b.sql:1: drop index concurrently if exists x
      locks x and its table: SHARE UPDATE EXCLUSIVE
      destructive: drops the index x
3 statement(s) in 2 migration(s), 2 of them destructive
]]):gsub("DIR", (dir:gsub("%%", "%%%%"))), ran.stdout)
  end)

  it("says of newer syntax that the server decides", function()
    local dir = project.write { { "0000_a", "create table a (i int generated always as (1) virtual nonsense)" } }
    local ran = plan(pg.database(), dir)
    assert.equal(0, ran.code)
    assert.truthy(ran.stdout:find("not readable by the PostgreSQL 15 parser; the server decides", 1, true))
  end)

  it("exits 10 with --check while something is pending, 0 after", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (i int)" } }
    assert.equal(10, plan(url, dir, "--check").code)
    cli.run { "migrate", "--dir", dir, "--url", url }
    assert.equal(0, plan(url, dir, "--check").code)
  end)

  it("changes nothing", function()
    local url = pg.database()
    plan(url, TROVELLA)
    plan(url, TROVELLA, "--sql")
    local conn <close> = db.connect(url)
    assert.is_false(conn:value "select to_regclass('drizzle.__drizzle_migrations') is not null")
  end)

  it("prints one JSON document with every statement", function()
    local document = cjson.decode(plan(pg.database(), TROVELLA, "--json").stdout)
    assert.same({ 0, 10, 154, 1 }, { document.applied, document.expected, document.statements, #document.segments })
    local first = document.segments[1].migrations[1]
    assert.equal("0000_lying_agent_zero", first.tag)
    assert.equal(3, first.statements[1].line)
    assert.same({}, document.problems)
  end)
end)
