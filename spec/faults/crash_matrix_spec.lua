local cjson = require "cjson"
local cli = require "spec.support.cli"
local crash = require "migrator.crash"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local state = require "migrator.crash.state"
local tmp = require "spec.support.tmp"
local tracking = require "migrator.tracking"
local db = require "migrator.db"

local BREAK = "\n--> statement-breakpoint\n"

local function sql(...) return table.concat({ ... }, BREAK) end

-- Every kind of segment, each with a data migration that must not happen twice.
local FOLDER = {
  { "0000_a", sql("create table a (id serial primary key, v int, at timestamptz default clock_timestamp())",
    "insert into a (v) select generate_series(1, 5)", "create index a_w on a (v)") },
  { "0001_concurrent", sql("update a set v = v * 2", "create index concurrently a_v on a (v)",
    "insert into a (v) values (100)", "drop index concurrently a_w") },
  { "0002_enum", sql("create type mood as enum ('x')", "create table m (x mood)") },
  { "0003_enum", "alter type mood add value 'y';" },
  { "0004_enum", sql("insert into m values ('y')", "update a set v = v + 1") },
  { "0005_commit", sql("update a set v = v * 3;\nCOMMIT;", "create index concurrently if not exists a_v2 on a (v);",
    "BEGIN;\nupdate a set v = v * 5;\nCOMMIT;") },
}

local function matrix(folder, ...)
  local dir = project.write(folder)
  local ran = cli.run { "test", "--crash-matrix", "--json", "--dir", dir, seconds = 500, ... }
  local text = ran.stdout:match("^[^\n]*")
  local ok, document = pcall(cjson.decode, text)
  return ok and document or {}, ran
end

local function points_of(document, pattern)
  local found = {}
  for _, finding in ipairs(document.findings) do
    if finding.point:find(pattern) then found[#found + 1] = finding end
  end
  return found
end

describe("migrator test --crash-matrix", function()
  it("R48 finds nothing where every kind of segment meets a data migration", function()
    local document, ran = matrix(FOLDER, "--points", "90")
    assert.same({ 0, {} }, { ran.code, document.findings }, ran.stderr)
    assert.is_true(document.unreached <= 2)
    assert.equal(90, document.points + document.unreached)
    assert.equal(document.points, document.converged)
    assert.equal(document.points, document.tried.kill.converged + document.tried.lose.converged)
    assert.matches("45 of %d+ boundaries were tried", table.concat(document.notes, "\n"))
    assert.matches('"public"."a".at', table.concat(document.notes, "\n"), 1, true)
  end)

  it("R48 finds what does it twice, names the statement and exits 1", function()
    local document, ran = matrix({
      { "0000_a", sql("create table a (v int)", "insert into a values (1)",
        "create procedure twice() language plpgsql as $$ begin update a set v = v * 2; commit; end $$") },
      { "0001_call", "create table b ();\n\ncall twice();" } }, "--after", "0000_a")
    assert.equal(1, ran.code)
    assert.equal(1, document.pending)
    assert.is_true(#document.findings > 0 and document.converged < document.points)
    assert.equal(document.points, document.converged + #document.findings)
    local found = points_of(document, "^after statement 2 of 0001_call was answered")
    assert.same({ "kill", "lose" }, { found[1].how, found[2].how })
    for _, finding in ipairs(found) do
      assert.same({ 3, { '"public"."a" has other values in its 1 rows' } }, { finding.line, finding.differences })
      assert.matches("0001_call.sql$", finding.file)
    end
    assert.same({}, points_of(document, "before statement 1 of 0001_call is sent"))
    assert.matches("kill points do not converge", ran.stderr, 1, true)
  end)

  it("tells numbers that a rollback used up from lost rows, and drops roles between the runs", function()
    local document, ran = matrix({ { "0000_a", "create table a (id serial primary key, v int);" },
      { "0001_b", sql("create role migrator_crash_clerk", "insert into a (v) values (7)",
        "grant select on a to migrator_crash_clerk") } }, "--after", "0000_a")
    assert.same({ 0, {} }, { ran.code, document.findings }, ran.stderr)
    assert.matches('numbers from sequences skip values after a rollback, as always: "public"."a"',
      table.concat(document.notes, "\n"), 1, true)
  end)

  it("prints a table and the line that counts", function()
    local dir = project.write { { "0000_a", "create table a ();" } }
    local ran = cli.run { "test", "--crash-matrix", "--points", "6", "--dir", dir }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("^Crash matrix: 1 pending migration%(s%), %d+ boundaries, PostgreSQL %d", ran.stdout)
    assert.matches("\nkilled run +3 +3\nlost connection +3 +3\n6 kill points, 6 converged %(.*%)\n$", ran.stdout)
  end)

  it("refuses what it cannot test: failing migrations, none, a tag that is not there, specs, a number that is none",
    function()
      local dir = project.write { { "0000_a", "create table a ();" }, { "0001_b", "select 1/0;" } }
      local ran = cli.run { "test", "--crash-matrix", "--dir", dir }
      assert.equal(1, ran.code)
      assert.matches("the migrations fail without being disturbed: .*0001_b.sql:1:1: division by zero", ran.stderr)
      for _, words in ipairs { { "--after", "0001_b" }, { "--after", "0001_x" }, { "--filter", "x" },
        { "--points", "-1" } } do
        ran = cli.run { "test", "--crash-matrix", "--dir", dir, words[1], words[2] }
        assert.equal(2, ran.code, ran.stderr)
      end
      assert.equal(2, cli.run({ "test", "--points", "1", "--dir", dir }).code)
    end)
end)

describe("the disturbed run", function()
  it("dies at its point, and the migrate of people goes on behind it", function()
    local dir, url, folder = project.write { { "0000_a", "create table a ();" } }, pg.database(), tmp.dir()
    fs.write(folder .. "/job", cjson.encode { url = url, watch_url = url, settings = { dir = dir }, how = "kill",
      at = 3, skip = 0, notes = folder .. "/notes" })
    assert.equal("KILL", cli.run({ "crash", folder .. "/job" }).signal)
    assert.is_nil(fs.find(folder .. "/notes"))
    assert.equal(0, cli.run({ "migrate", "--dir", dir, "--url", url }).code)
  end)
end)

describe("migrator.crash.choose", function()
  local function points(n, vital)
    local out = {}
    for i = 1, n do out[i] = { vital = vital[i] or false } end
    return out
  end

  it("takes all when they fit, each once", function()
    assert.same({ 1, 2, 3 }, crash.choose(points(3, { [2] = true }), 3))
    assert.same({ 1, 2, 3 }, crash.choose(points(3, {}), 10))
  end)

  it("takes those around commits first and spreads the others evenly", function()
    assert.same({ 3, 7, 11 }, crash.choose(points(12, {}), 3))
    local chosen = crash.choose(points(100, { [7] = true, [90] = true }), 4)
    assert.equal(4, #chosen)
    assert.is_true(chosen[1] == 7 and chosen[4] == 90)
    assert.equal(1, #crash.choose(points(100, { [7] = true, [90] = true }), 1))
  end)
end)

describe("migrator.crash.state", function()
  local function database(...)
    local url = pg.database()
    local conn <close> = db.connect(url)
    conn:script("create schema drizzle; create table drizzle.__drizzle_migrations (id serial, hash text, "
      .. "created_at int8); create table t (k int, v text); create sequence s; " .. table.concat({ ... }, ";"))
    return url
  end

  local function compare(...)
    local one, two = database "insert into t values (1, 'a'), (2, 'b'), (2, 'b')", database(...)
    local shape = state.shape(one, tracking.new("drizzle", "__drizzle_migrations"))
    return state.compare(shape, state.take(one, shape, pg.dump(one)), state.take(two, shape, pg.dump(two)), {})
  end

  it("sees no difference in another order of rows", function()
    assert.same({}, compare "insert into t values (2, 'b'), (1, 'a'), (2, 'b')")
  end)

  it("sees rows that are missing, doubled, or have each other's values", function()
    assert.same({ '"public"."t" has 2 rows instead of 3' }, compare "insert into t values (1, 'a'), (2, 'b')")
    assert.same({ '"public"."t" has other values in its 3 rows' },
      compare "insert into t values (1, 'a'), (1, 'a'), (2, 'b')")
    assert.same({ '"public"."t" has other values in its 3 rows' },
      compare "insert into t values (1, 'b'), (2, 'a'), (2, 'b')")
  end)

  it("sees a schema that differs, and a tracking row more", function()
    local rows = "insert into t values (1, 'a'), (2, 'b'), (2, 'b')"
    assert.same({ "the schema has `CREATE INDEX t_k ON public.t USING btree (k);`" },
      compare(rows, "create index t_k on t (k)"))
    assert.same({ "the tracking table has 1 rows instead of 0" },
      compare(rows, "insert into drizzle.__drizzle_migrations (hash, created_at) values ('x', 1)"))
  end)
end)
