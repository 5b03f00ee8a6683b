local cjson = require "cjson"
local cli = require "spec.support.cli"
local compare = require "migrator.drift.compare"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local FIRST = { "0000_first", [[
create schema shop;
create type shop.color as enum ('red', 'green');
create domain shop.mail as text not null check (value like '%@%');
create table shop.item (id int generated always as identity primary key, name text not null default 'x',
  price numeric(10, 2) check (price > 0), color shop.color, mail shop.mail, twin text generated always as (name || '!') stored);
create table shop.part (id bigserial primary key, item_id int references shop.item (id));
create index part_item on shop.part (item_id);
alter table shop.item enable row level security;
create policy mine on shop.item for select to public using (name = current_user);
create view shop.cheap as select id, name from shop.item where price < 5;
create function shop.twice(i int) returns int language sql immutable as $$ select i * 2 $$;
create function shop.stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger stamp before update on shop.item for each row execute function shop.stamp();]] }
local SECOND = { "0001_second", "create table shop.late (id int);" }

local function drift(url, dir, ...) return cli.run { "drift", "--dir", dir, "--url", url, ... } end

local function found(ran)
  local out = {}
  for i, item in ipairs(cjson.decode(ran.stdout).differences) do
    out[i] = ("%s %s %s"):format(item.what, item.kind, item.name)
  end
  return out
end

describe("drift", function()
  local conn, url, name, dir, kept

  -- Without a throw-away server each time.
  local function snapshot()
    if not kept then
      kept = tmp.dir {} .. "/expected.json"
      local ran = cli.run { "drift", "--dir", dir, "--snapshot", kept }
      assert.equal(0, ran.code, ran.stderr)
    end
    return kept
  end

  before_each(function()
    url, name = pg.database()
    dir = project.write { FIRST }
    local ran = cli.run { "migrate", "--dir", dir, "--url", url }
    assert.equal(0, ran.code, ran.stderr)
    conn = db.connect(url)
  end)

  after_each(function()
    conn:close()
    pg.drop(name)
  end)

  it("R111 finds none right behind a migrate, and leaves schema migrator and the tracking table out", function()
    conn:script "create schema migrator; create table migrator.progress (); create extension pg_trgm"
    local ran = drift(url, dir, "--ignore", "pg_trgm")
    assert.equal(0, ran.code, ran.stdout .. ran.stderr)
    assert.equal("", ran.stderr)
    assert.matches("^Drift: none; %d+ objects of " .. name .. " are what its 1 migration%(s%) imply%.\n$", ran.stdout)
    assert.same({ "extra extension pg_trgm" }, found(drift(url, dir, "--json")))
  end)

  it("R111 names every kind of difference: missing, extra, differs", function()
    conn:script [[
      alter table shop.part alter column item_id type bigint; alter table shop.item alter column twin drop expression;
      alter table shop.item drop constraint item_price_check;
      alter table shop.part add constraint part_positive check (id > 0) not valid;
      drop index shop.part_item;
      alter table shop.item force row level security;
      alter policy mine on shop.item using (true);
      alter type shop.color add value 'blue';
      alter domain shop.mail drop not null;
      create or replace function shop.twice(i int) returns int language sql immutable as $$ select i + i $$;
      alter table shop.item disable trigger stamp;
      create or replace view shop.cheap as select id, name from shop.item where price < 6;
      alter sequence shop.part_id_seq increment 5;
      create table shop.extra (id int primary key);
      comment on table shop.part is 'x']]
    local ran = drift(url, dir, "--json")
    assert.equal(1, ran.code)
    assert.same({ "differs column shop.item.twin", "differs column shop.part.item_id",
      "missing constraint shop.item.item_price_check", "extra constraint shop.part.part_positive",
      "differs domain shop.mail", "differs enum shop.color", "differs function shop.twice(i integer)",
      "missing index shop.part_item", "differs policy shop.item.mine", "differs sequence shop.part_id_seq",
      "extra table shop.extra", "differs table shop.item", "differs trigger shop.item.stamp",
      "differs view shop.cheap" }, found(ran))
    local document = cjson.decode(ran.stdout)
    assert.equal("drift", document.failed.code)
    assert.equal("text generated always as (name || '!'::text) stored", document.differences[1].expected)
    assert.equal("text", document.differences[1].actual)
    assert.equal("integer bigint", document.differences[2].expected .. " " .. document.differences[2].actual)
    assert.matches("NOT VALID", document.differences[4].actual, 1, true)
    assert.matches("(disabled)", document.differences[13].actual, 1, true)
  end)

  it("R111 prints a line for each, and both definitions of what differs", function()
    conn:script "alter table shop.part alter column item_id set not null; drop view shop.cheap"
    local ran = drift(url, dir)
    assert.equal(1, ran.code)
    assert.equal([[
differs  column  shop.part.item_id
         expected: integer
         database: integer not null
missing  view    shop.cheap
]], ran.stdout)
    assert.matches(("error: the database %s is not what its 1 migration(s) imply: 2 difference(s)"):format(name),
      ran.stderr, 1, true)
  end)

  it("R111 expects what the database has applied, and says what is pending", function()
    local ran = drift(url, project.write { FIRST, SECOND })
    assert.equal(0, ran.code, ran.stdout .. ran.stderr)
    assert.matches("(1 more pending)", ran.stdout, 1, true)
    cli.run { "migrate", "--dir", project.write { FIRST, SECOND }, "--url", url }
    ran = drift(url, dir, "--json")
    assert.same({ "extra table shop.late" }, found(ran))
    assert.matches("1 tracking row(s) that no migration", ran.stderr, 1, true)
  end)

  it("R111 leaves out what is ignored: objects, a table with all that is its own, a schema", function()
    conn:script [[create schema audit; create table audit.log (id int); create table shop.tmp_1 (id int);
      alter table shop.part add column x int; create index part_x on shop.part (x)]]
    assert.equal(1, drift(url, dir, "--against", snapshot()).code)
    assert.equal(0, drift(url, dir, "--against", snapshot(), "--ignore", "audit.*,shop.tmp_?,shop.part").code)
    local ran = drift(url, dir, "--json", "--against", snapshot(), "--ignore", "audit.*,*.tmp_*,shop.part_x")
    assert.same({ "extra column shop.part.x" }, found(ran))
  end)

  it("R111 looks at grants, owners and comments only when asked to", function()
    conn:script "comment on table shop.part is 'x'; grant select on shop.part to public"
    assert.equal(0, drift(url, dir, "--against", snapshot()).code)
    assert.same({ "extra comment table shop.part", "extra grant shop.part to public" },
      found(drift(url, dir, "--json", "--grants", "--comments")))
  end)

  it("R111 compares with a snapshot where no server can be started", function()
    local file = snapshot()
    local nowhere = { PG_BINDIR = tmp.dir {} }
    local function against(...)
      return cli.run { "drift", "--dir", dir, "--url", url, "--against", file, "--json", env = nowhere, ... }
    end
    assert.equal(0, against().code)
    conn:exec "drop table shop.part"
    assert.same({ "missing table shop.part" }, found(against()))
    assert.matches("the snapshot has no grants", against("--grants").stderr, 1, true)
    local ran = cli.run { "drift", "--dir", dir, "--url", url, env = nowhere }
    assert.equal(2, ran.code)
    assert.matches("no PostgreSQL server in", ran.stderr, 1, true)
    assert.matches("--against FILE", ran.stderr, 1, true)
  end)

  it("refuses a file that is no snapshot, and warns of another server's version and other migrations", function()
    local file = tmp.dir {} .. "/expected.json"
    cli.run { "drift", "--dir", project.write { FIRST, SECOND }, "--snapshot", file }
    local text = fs.read(file)
    fs.write(file, (text:gsub('"version":"[%d.]+","version_number":%d+', '"version":"13.1","version_number":130001')))
    local ran = drift(url, dir, "--against", file)
    assert.matches("what is expected comes from 13.1", ran.stderr, 1, true)
    assert.matches("the snapshot is of 2 migration(s), the database has 1", ran.stderr, 1, true)
    for _, bad in ipairs { "nope", "{}", '{"objects":[{"kind":"table"}]}', '{"format":2,"objects":[]}',
      '{"format":1,"objects":[],"migrations":5}' } do
      fs.write(file, bad)
      ran = drift(url, dir, "--against", file)
      assert.equal(2, ran.code)
      assert.matches("not a snapshot of a catalogue", ran.stderr, 1, true)
    end
  end)

  it("runs migrations that name roles and extensions which they do not make", function()
    local role = name .. "_app"
    conn:exec(("create role %s"):format(role))
    conn:exec "create extension citext"
    local text = ("grant usage on schema shop to %s; create table m (m citext);"):format(role)
    local more = project.write { FIRST, { "0001_grant", text } }
    assert.equal(0, cli.run({ "migrate", "--dir", more, "--url", url }).code)
    assert.same({ "extra extension citext" }, found(drift(url, more, "--json")))
    local wrote = cli.run { "drift", "--dir", project.write { FIRST, { "0001_grant",
      "grant usage on schema shop to nobody_made_it;" } }, "--snapshot", tmp.dir {} .. "/s.json" }
    assert.equal(0, wrote.code, wrote.stderr)
    conn:exec(("drop owned by %s"):format(role))
    conn:exec(("drop role %s"):format(role))
  end)

  it("expects what the scripts outside the journal make", function()
    local scripts = tmp.dir { ["views.sql"] = "create or replace view shop.all_items as select id from shop.item;" }
    assert.equal(0, cli.run({ "migrate", "--dir", dir, "--url", url, "--repeatable", scripts }).code)
    local ran = cli.run { "drift", "--dir", dir, "--url", url, env = { MIGRATOR_REPEATABLE = scripts } }
    assert.equal(0, ran.code, ran.stdout .. ran.stderr)
    assert.same({ "extra view shop.all_items" }, found(drift(url, dir, "--json")))
  end)

  it("R111 says so where the migrations do not run from the start any more", function()
    local bad = project.write { FIRST, { "0001_needs", "create index needs on shop.part (by_hand);" } }
    conn:exec "alter table shop.part add by_hand int"
    assert.equal(0, cli.run({ "migrate", "--dir", bad, "--url", url }).code)
    local ran = drift(url, bad)
    assert.equal(1, ran.code)
    assert.matches('0001_needs.sql:1:1: on a throw-away server, from the start: column "by_hand" does not exist',
      ran.stderr, 1, true)
  end)

  it("R111 reads as a user who may read the tracking table and nothing else", function()
    local role = name .. "_low"
    conn:script(("create role %s login; grant usage on schema drizzle to %s; "
      .. "grant select on drizzle.__drizzle_migrations to %s"):format(role, role, role))
    local ran = drift(url:gsub("//postgres@", "//" .. role .. "@"), dir)
    assert.equal(0, ran.code, ran.stdout .. ran.stderr)
    conn:script(("drop owned by %s; drop role %s"):format(role, role))
  end)

  it("R111 stops a pipeline as steps.drift, or only warns", function()
    conn:exec "create table shop.extra (id int)"
    local function run(options)
      local text = "return pipeline { steps.drift { dir = %q, %s }, function() print 'after' end }"
      local file = tmp.dir { ["p.lua"] = text:format(dir, options) } .. "/p.lua"
      return cli.run { file, env = { DATABASE_URL = url } }
    end
    local ran = run ""
    assert.equal(1, ran.code)
    assert.matches("extra    table  shop.extra", ran.stdout, 1, true)
    assert.not_matches("after", ran.stdout, 1, true)
    assert.matches("after", run(("warn = true, against = %q"):format(snapshot())).stdout, 1, true)
    assert.equal(0, run(("ignore = { 'shop.extra' }, against = %q"):format(snapshot())).code)
    assert.equal(2, run("ignore = { 1 }").code)
  end)
end)

describe("db.catalog", function()
  it("R111 is there for scripts, and leaves the session as it was", function()
    local url, name = pg.database()
    local file = tmp.dir { ["s.lua"] = [[
      db.exec "create table a (id int primary key)"
      db.exec "set search_path = public"
      for _, object in ipairs(db.catalog().objects) do
        if object.parent == "public.a" then print(object.kind, object.name, object.definition) end
      end
      local conn <close> = db.connect()
      conn:transaction(function()
        conn:exec "create table b (id int)"
        print(#db.catalog(conn).objects - #db.catalog(db).objects)
      end)
      print(db.value "show search_path", db.value "show transaction_read_only")
      fs.write(arg[1], json.encode(db.catalog()))]] } .. "/s.lua"
    local kept = tmp.dir {} .. "/catalog.json"
    local ran = cli.run { file, kept, env = { DATABASE_URL = url } }
    assert.equal(0, ran.code, ran.stderr)
    assert.equal("column\tpublic.a.id\tinteger not null\nconstraint\tpublic.a.a_pkey\tPRIMARY KEY (id)\n"
      .. "2\npublic\toff\n", ran.stdout)
    local conn <close> = db.connect(url)
    conn:exec "create table c (id int)"
    ran = drift(url, project.write {}, "--against", kept)
    assert.same({ 1, "extra    table  public.c\n" }, { ran.code, ran.stdout })
    pg.drop(name)
  end)
end)

describe("drift.compare", function()
  it("says no more of what goes with a table that is not there", function()
    local list = { { kind = "table", name = "a", definition = "table" },
      { kind = "column", name = "a.x", parent = "a", definition = "integer" } }
    assert.equal(1, #compare.run(list, {}))
    assert.equal("extra", compare.run({}, list)[1].what)
    assert.same({}, compare.run(list, list))
  end)

  it("takes only * and ? of a pattern for what they are", function()
    local ignored = compare.ignoring { "a.b+(c)", "x?z" }
    assert.is_true(ignored { kind = "table", name = "a.b+(c)" })
    assert.is_false(ignored { kind = "table", name = "aXb+(c)" })
    assert.is_true(ignored { kind = "table", name = "xyz" })
  end)
end)
