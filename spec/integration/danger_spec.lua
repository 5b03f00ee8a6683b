local cjson = require "cjson"
local cli = require "spec.support.cli"
local danger = require "migrator.plan.danger"
local db = require "migrator.db"
local facts = require "migrator.plan.facts"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local rewrite = require "migrator.plan.rewrite"
local tree = require "migrator.plan.tree"

local BIG = [[create table orders (id int primary key, note text);
  insert into orders select g from generate_series(1, 150000) g;
  create table users (id int); insert into users values (1);
  create table empty (id int);
  analyze orders]]

local function database(...)
  local url, name = pg.database("danger")
  local conn <close> = db.connect(url)
  for _, text in ipairs { ... } do conn:script(text) end
  return url, name
end

local function plan(url, dir, ...)
  return cli.run { "plan", "--baseline", "run", "--dir", dir, "--url", url, "--verbose", ... }
end

local function quiet(url, dir, ...) return cli.run { "plan", "--dir", dir, "--url", url, ... } end

local function dangers(url, list)
  local ran = quiet(url, project.write(list), "--json")
  assert.equal(0, ran.code, ran.stderr)
  local document = cjson.decode(ran.stdout)
  local out = {}
  for i, found in ipairs(document.findings) do out[i] = found.severity .. " " .. found.rule end
  return out, document.findings
end

local FILES = {
  { "0000_a", "create index by_note on orders (note);\nalter table users add name text not null;\n"
    .. "alter table users add constraint u unique (id);\n" },
  { "0001_b", "-- migrator: allow=rewrite\nalter table orders add key serial" },
}

describe("plan", function()
  it("R56 names what is dangerous below its statement, with the size of its table", function()
    local url, dir = database(BIG), project.write(FILES)
    local ran = quiet(url, dir)
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("0000_a.sql:1: create index [^\n]*\n      locks orders: SHARE\n"
      .. "      warning %(create%-index%-blocks%-writes%): builds the index by_note on orders: [^\n]*; "
      .. "orders has 150 k rows, %d+ MiB\n        hint: CREATE INDEX CONCURRENTLY", ran.stdout)
    assert.matches("warning %(add%-column%-not%-null%): adds users.name as NOT NULL without a default: fails when "
      .. "there is a row; users has 8 KiB, its rows were never counted\n", ran.stdout)
    assert.is_nil(ran.stdout:find("unique-builds-index", 1, true))
    assert.is_nil(ran.stdout:find("(rewrite)", 1, true))
    assert.matches("0001_b.sql: asks for allow=rewrite\n", ran.stdout)
    assert.matches("info %(unique%-builds%-index%): adds a UNIQUE", plan(url, dir).stdout)
    assert.equal(10, quiet(url, dir, "--check").code)
  end)

  it("R56 has them among the findings of --json, with hint and place", function()
    local rules, found = dangers(database(BIG), FILES)
    assert.same({ "warning create-index-blocks-writes", "warning add-column-not-null", "info unique-builds-index" },
      rules)
    assert.matches("^CREATE INDEX CONCURRENTLY", found[1].hint)
    assert.same({ 2, "0000_a.sql" }, { found[2].line, found[2].file:match("[^/]+$") })
  end)

  it("R56 notes them beside the script of --sql, which stays as it is", function()
    local ran = quiet(database(BIG), project.write(FILES), "--sql")
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("warning: [^\n]*0000_a.sql:1: builds the index by_note on orders: ", ran.stderr)
    assert.is_nil(ran.stdout:find("builds the index", 1, true))
    assert.is_nil(ran.stderr:find("UNIQUE", 1, true))
  end)

  it("R56 refuses an unknown rule in a header, before anything runs", function()
    local url = database()
    local dir = project.write { { "0000_a", "create table a (i int)" },
      { "0001_b", "-- migrator: allow=rewrit\nselect 1" } }
    for _, command in ipairs { "plan", "migrate" } do
      local ran = cli.run { command, "--dir", dir, "--url", url }
      assert.equal(2, ran.code, ran.stderr)
      assert.matches('0001_b.sql:1:14: [^\n]*\n.*did you mean "rewrite"%?', ran.stderr)
    end
  end)

  it("R56 adds partitions and TOAST up, and measures what was never analyzed", function()
    local url = database([[create table parts (id int, pad text) partition by range (id);
      create table parts_1 partition of parts for values from (0) to (80000);
      create table parts_2 partition of parts for values from (80000) to (200000);
      insert into parts select g from generate_series(1, 150000) g;
      create table never (id int) with (autovacuum_enabled = off);
      insert into never select generate_series(1, 2000)]], "analyze parts")
    local _, found = dangers(url, { { "0000_a", "create index on parts (id); create index on never (id);"
      .. "create index on nowhere (id)" } })
    assert.matches("parts has 150 k rows, %d+ MiB$", found[1].message)
    assert.matches("on each partition first", found[1].hint)
    assert.matches("never has 72 KiB, its rows were never counted$", found[2].message)
    assert.matches("the size of nowhere is not known$", found[3].message)
  end)

  it("R56 waits for no lock: a table that is locked has the size that pg_class knows", function()
    local url = database(BIG)
    local other <close> = db.connect(url)
    other:script "begin; lock table orders in access exclusive mode"
    local ran = quiet(url, project.write(FILES), "--lock-timeout", "1s")
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("orders has 150 k rows", ran.stdout)
  end)

  it("R56 lives with a catalogue that it may not read", function()
    local role = "danger_" .. tostring(math.random(1 << 40))
    local url = database("create schema hidden; create table hidden.t (i int)", "create role " .. role .. " login")
    local theirs = url:gsub("^(postgresql://)[^/@]*@", "%1" .. role .. "@")
    local ran = quiet(theirs, project.write { { "0000_a", "create index on hidden.t (i)" } }, "--json")
    pg.admin():exec("drop role " .. role)
    assert.equal(0, ran.code, ran.stderr)
    assert.same({ "sizes", "create-index-blocks-writes" }, { cjson.decode(ran.stdout).findings[1].rule,
      cjson.decode(ran.stdout).findings[2].rule })
  end)

  it("R56 leaves migrate as it was: no word, no round trip more", function()
    local url = database(BIG)
    local dir = project.write { { "0000_a", "create index by_note on orders (note)" } }
    local ran = cli.run { "migrate", "--json", "--verbose", "--dir", dir, "--url", url }
    assert.equal(0, ran.code, ran.stderr)
    local document = cjson.decode(ran.stdout)
    assert.same({}, document.findings)
    local harmless = cli.run { "migrate", "--json", "--url", database(BIG), "--dir",
      project.write { { "0000_a", "comment on table orders is 'x'" } } }
    assert.equal(cjson.decode(harmless.stdout).round_trips, document.round_trips)
  end)
end)

local ACTIONS = { "add x int", "add x int not null default 3", "add x timestamptz default now()",
  "add x timestamptz default clock_timestamp()", "add x uuid default gen_random_uuid()",
  "add x float default random()",
  "add x text default own_volatile()", "add x text default own_stable()", "add x text default lower('A')",
  "add x serial",
  "add x int generated always as identity", "add x int generated always as (a + 1) stored", "set unlogged",
  "add x int unique", "alter b set default random()", "alter a type text using b", "alter b type text using b::text",
  "alter b type text using lower(b)", "alter b type varchar using b", "add check (a > 0)", "alter b type citext",
  "set (fillfactor = 50)" }

describe("plan.danger", function()
  it("R56 finds a rewrite where the server makes one, and nowhere else", function()
    local conn <close> = db.connect((database("create extension citext;"
      .. "create function own_volatile() returns text language plpgsql as 'begin return 1; end';"
      .. "create function own_stable() returns text language sql stable as 'select 1::text'")))
    for i, action in ipairs(ACTIONS) do
      local name = "t" .. i
      conn:script(("create table %s (a int, b text); insert into %s values (1, 'b')"):format(name, name))
      local text = ("alter table %s %s"):format(name, action)
      local kind, node = tree.parse(text)
      local list = { { file = "a.sql", line = 1, kind = kind, node = node, segment = { kind = "transaction" } } }
      local said = false
      for _, found in ipairs(danger.find(list, facts.relations(conn, danger.needs(list)))) do
        said = said or found.rule == "rewrite"
      end
      local file = "select pg_relation_filenode('" .. name .. "')"
      local before = conn:value(file)
      conn:script(text)
      assert.equal(conn:value(file) ~= before, said, action)
    end
  end)
end)

-- From, to; every pair is put before the server, which tells by the table's file whether it wrote the table anew.
local PAIRS = {
  { "varchar(20)", "varchar(50)" }, { "varchar(20)", "varchar(10)" }, { "varchar(20)", "varchar" },
  { "varchar(20)", "text" }, { "text", "varchar" }, { "text", "varchar(20)" }, { "char(5)", "char(9)" },
  { "char(5)", "text" }, { "numeric(10,2)", "numeric(12,2)" }, { "numeric(10,2)", "numeric(12,3)" },
  { "numeric(10)", "numeric(12)" }, { "numeric(10,2)", "numeric" }, { "numeric", "numeric(30,2)" },
  { "int", "bigint" }, { "int", "int" }, { "int", "text" }, { "timestamp(3)", "timestamp" },
  { "timestamp(3)", "timestamp(6)" }, { "timestamp", "timestamp(3)" }, { "timestamp", "timestamptz" },
  { "timestamptz(3)", "timestamptz(4)" }, { "time(2)", "time" }, { "time", "time(2)" }, { "cidr", "inet" },
  { "inet", "text" }, { "varbit(3)", "varbit(5)" }, { "varbit", "varbit(5)" }, { "bit(3)", "varbit" },
  { "interval", "interval" }, { "json", "jsonb" }, { "text[]", "text[]" }, { "int[]", "bigint[]" }, { "xml", "text" },
  { "timestamptz", "timestamp" }, { "varchar(5)", "varchar(5)" },
}

describe("plan.rewrite.is_needed", function()
  for _, zone in ipairs { "UTC", "Europe/Berlin" } do
    it("R56 says of a type change what the server does, in " .. zone, function()
      local conn <close> = db.connect((database()))
      conn:script("set timezone = '" .. zone .. "'")
      for i, pair in ipairs(PAIRS) do
        local name = "t" .. i
        conn:script(("create table %s (c %s)"):format(name, pair[1]))
        local known = facts.relations(conn, { tables = { name }, functions = {} })
        local text = ("alter table %s alter c type %s"):format(name, pair[2])
        local _, node = tree.parse(text)
        local said = rewrite.is_needed(known.relations[name].columns.c.type,
          rewrite.type_of(node.cmds[1].AlterTableCmd.def.ColumnDef.typeName), known.zone)
        local file = "select pg_relation_filenode('" .. name .. "')"
        local before = conn:value(file)
        conn:script(text)
        assert.equal(conn:value(file) ~= before, said, pair[1] .. " to " .. pair[2])
      end
    end)
  end
end)
