local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local run_lock = require "migrator.run_lock"
local server = require "migrator.server"

local TROVELLA = "spec/fixtures/trovella"

local function migrate(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

local function rows(url)
  local conn <close> = db.connect(url)
  local out = {}
  for i, row in ipairs(conn:exec "select id, hash, created_at from drizzle.__drizzle_migrations order by id") do
    out[i] = ("%d\t%s\t%d\n"):format(row.id, row.hash, row.created_at)
  end
  return table.concat(out)
end

local function value(url, query)
  local conn <close> = db.connect(url)
  return conn:value(query)
end

local function offers_vector(url)
  return value(url, "select count(*) > 0 from pg_available_extensions where name = 'vector'")
end

describe("migrate, the trovella fixture", function()
  it("R2 R27 R34 leaves the schema and the rows that Drizzle leaves, and says so in the exact lines", function()
    local url = pg.database()
    local ran = migrate(url, TROVELLA .. "/migrations")
    assert.same({ 0, "Migration state: 0 applied, 10 expected, 10 pending\nRunning migrations...\n"
      .. "Migrations complete. Applied 10 new migration(s).\nVerified: database has all 10 migrations.\n" },
      { ran.code, ran.stdout })
    assert.equal(fs.read(TROVELLA .. "/expected/tracking.tsv"), rows(url))
    local expected = offers_vector(url) and "/expected/schema.with-pgvector.sql" or "/expected/schema.sql"
    assert.equal(fs.read(TROVELLA .. expected), pg.dump(url, "-f", "-"))
  end)

  it("R35 R106 applies nothing the second time and says that", function()
    local url = pg.database()
    migrate(url, TROVELLA .. "/migrations")
    local ran = migrate(url, TROVELLA .. "/migrations")
    assert.equal(0, ran.code)
    assert.equal("Migration state: 10 applied, 10 expected, 0 pending\nRunning migrations...\n"
      .. "Migrations complete. Applied 0 new migration(s).\nVerified: database has all 10 migrations.\n", ran.stdout)
  end)

  it("prints one JSON document with --json", function()
    local url = pg.database()
    local document = cjson.decode(migrate(url, TROVELLA .. "/migrations", "--json").stdout)
    assert.equal(10, document.applied)
    assert.equal(10, #document.applied_now)
    assert.same({}, document.pending)
    assert.equal("0009_add-document-chunk-table", document.entries[10].tag)
    assert.equal("applied", document.entries[10].state)
    assert.is_number(document.duration_ms)
  end)

  it("costs two round trips beside connecting, and one when nothing is pending", function()
    local url = pg.database()
    assert.equal(2, cjson.decode(migrate(url, TROVELLA .. "/migrations", "--json").stdout).round_trips)
    pg.settle(url)
    assert.equal(1, cjson.decode(migrate(url, TROVELLA .. "/migrations", "--json").stdout).round_trips)
  end)

  it("does not take a run that has just ended for another one, whose session the server is still ending", function()
    local url, tracking = pg.database(), require("migrator.tracking").new("drizzle", "__drizzle_migrations")
    local ended = db.connect(url)
    ended:exec("select pg_advisory_lock($1::int8)", tracking.key)
    local session = { conn = db.connect(url), tracking = tracking }
    session.state, session.rows = server.look(session.conn, tracking, true)
    assert.is_false(session.state.locked)
    ended:close()
    run_lock.wait({ wait = 0 }, session, error)
    assert.is_true(session.state.locked)
    session.conn:close()
  end)

  it("knows how long each took, though answers of quick statements are fetched together", function()
    local quick = ("select 1;\n"):rep(300)
    local document = cjson.decode(migrate(pg.database(), project.write { { "0000_a", quick },
      { "0001_b", "select pg_sleep(0.3);" }, { "0002_c", quick } }, "--json").stdout)
    local took = {}
    for i, item in ipairs(document.applied_now) do took[i] = item.duration_ms end
    assert.is_true(took[1] > 0 and took[3] > 0)
    assert.is_true(took[2] >= 299, took[2])
    assert.is_true(took[1] + took[2] + took[3] <= document.duration_ms)
  end)

  it("adds the tracking rows in the journal's order, many at once", function()
    local files, url = {}, pg.database()
    for i = 1, 450 do files[i] = { ("%04d_m"):format(i), ("select %d;"):format(i) } end
    assert.equal(0, migrate(url, project.write(files)).code)
    local conn <close> = db.connect(url)
    assert.same({ rows = 450, last = 450, sorted = true }, conn:row [[select count(*) as rows, max(id) as last,
      array_agg(created_at order by id) = array_agg(created_at order by created_at) as sorted
      from drizzle.__drizzle_migrations]])
    assert.equal("", migrate(url, project.write(files)).stderr:match("warning") or "")
  end)

  it("finds out behind the first migration that rows cannot be added, not behind the last", function()
    local url, name = pg.database()
    migrate(url, project.write { { "0000_a", "select 0;" } })
    local conn <close> = db.connect(url)
    local role = "migrator_test_writer_" .. name:match("%x+$")
    conn:script(("create role %s login; grant usage on schema drizzle to %s; grant select, update on "
      .. "drizzle.__drizzle_migrations to %s"):format(role, role, role))
    local ran = migrate(url:gsub("user=postgres", "user=" .. role):gsub("//postgres", "//" .. role),
      project.write { { "0000_a", "select 0;" }, { "0001_b", "select 1;" }, { "0002_c", "select 1 / 0;" } })
    conn:script(("drop owned by %s; drop role %s"):format(role, role))
    assert.equal(1, ran.code)
    assert.matches("permission denied for table __drizzle_migrations", ran.stderr, 1, true)
    assert.not_matches("division", ran.stderr, 1, true)
  end)

  it("R31 needs no privilege to create anything when nothing is pending", function()
    local url, name = pg.database()
    migrate(url, TROVELLA .. "/migrations")
    local admin <close> = db.connect(pg.server().url)
    local role = "migrator_test_reader_" .. name:match("%x+$")
    admin:exec("create role " .. role .. " login")
    do
      local conn <close> = db.connect(url)
      conn:exec("grant usage on schema drizzle to " .. role)
      conn:exec("grant select on drizzle.__drizzle_migrations to " .. role)
    end
    local ran = migrate(url:gsub("user=postgres", "user=" .. role):gsub("//postgres", "//" .. role), TROVELLA
      .. "/migrations")
    pg.drop(name)
    admin:exec("drop role " .. role)
    assert.same({ 0, "" }, { ran.code, cli.said(ran) })
  end)
end)

describe("migrate, transactions", function()
  local broken = { { "0000_a", "create table a (id int);" },
    { "0001_b", "create table b (id int);\n--> statement-breakpoint\n\tselect 'é', nope from a;" },
      { "0002_c", "create table c ();" } }

  it("R38 R40 leaves nothing of a run that fails", function()
    local url = pg.database()
    assert.equal(1, migrate(url, project.write(broken)).code)
    assert.equal(0, value(url, "select count(*) from pg_tables where schemaname in ('public', 'drizzle')"))
  end)

  it("R41 names file, line and column in characters, the state, and shows the line", function()
    local dir = project.write(broken)
    local ran = migrate(pg.database(), dir)
    assert.equal(("error: %s/0001_b.sql:3:14: column \"nope\" does not exist (42703)\n"):format(dir)
      .. "   3 |  select 'é', nope from a;\n     |              ^\n"
      .. "  state: 0 applied, 1 failed and rolled back, 2 pending; nothing is applied\n", cli.said(ran))
  end)

  it("keeps what was committed before with --tx file", function()
    local url = pg.database()
    assert.equal(1, migrate(url, project.write(broken), "--tx", "file").code)
    assert.equal(1, value(url, "select count(*) from drizzle.__drizzle_migrations"))
  end)

  it("goes on from where a mended run stopped", function()
    local url, dir = pg.database(), project.write(broken)
    migrate(url, dir)
    fs.write(dir .. "/0001_b.sql", "create table b (id int);")
    assert.equal(0, migrate(url, dir).code)
    assert.equal(3, value(url, "select count(*) from drizzle.__drizzle_migrations"))
  end)

  it("R42 shows the server's notices with the migration they came from", function()
    local ran = migrate(pg.database(), project.write { { "0000_a", "do $$ begin raise warning 'look here'; end $$" } })
    assert.same({ 0, "warning: 0000_a: look here\n" }, { ran.code, cli.said(ran) })
  end)

  it("R24 takes empty files, pieces of comments and trailing breakpoints", function()
    local url = pg.database()
    local ran = migrate(url, project.write { { "0000_a", "" },
      { "0001_b", "-- only words\n--> statement-breakpoint\n" },
      { "0002_c", "create table c ();\n--> statement-breakpoint\n--> statement-breakpoint\n" } })
    assert.equal(0, ran.code)
    assert.equal(3, value(url, "select count(*) from drizzle.__drizzle_migrations"))
  end)

  it("refuses to commit when a migration tampers with the tracking table", function()
    local url = pg.database()
    local ran = migrate(url, project.write { { "0000_a", "create table a ();" },
      { "0001_b", "delete from drizzle.__drizzle_migrations;" } })
    assert.equal(1, ran.code)
    assert.matches("Migration count mismatch: database has 1 but expected 2", ran.stderr, 1, true)
    assert.equal(0, value(url, "select count(*) from pg_tables where schemaname = 'public'"))
  end)
end)

describe("migrate, statements that cannot be in a transaction", function()
  it("R39 finds CREATE INDEX CONCURRENTLY by itself and runs it outside", function()
    local url = pg.database()
    local ran = migrate(url, project.write { { "0000_a", "create table a (id int);" },
      { "0001_b", "create index concurrently a_id on a (id);" }, { "0002_c", "create table c ();" } })
    assert.equal(0, ran.code)
    assert.is_true(value(url, "select indisvalid from pg_index where indexrelid = 'a_id'::regclass"))
    assert.is_false(value(url, "select exists (select 1 from pg_namespace where nspname = 'migrator')"))
  end)

  it("resumes behind the statements that were done", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (id int);" },
      { "0001_b", "create index concurrently a1 on a (id);\n"
      .. "--> statement-breakpoint\ninsert into a values (1);\n--> statement-breakpoint\n"
      .. "create index concurrently a2 on nope (id);" } }
    local ran = migrate(url, dir)
    assert.equal(1, ran.code)
    assert.matches("its first 2 of 3 statements stay", ran.stderr, 1, true)
    do
      local conn <close> = db.connect(url)
      conn:exec "create table nope (id int)"
    end
    ran = migrate(url, dir)
    assert.equal(0, ran.code)
    assert.matches("0001_b continues at statement 3 of 3", ran.stderr, 1, true)
    assert.equal(1, value(url, "select count(*) from a"))
  end)

  it("goes on in a file whose failing statement was mended, and refuses one whose done part was edited", function()
    local url = pg.database()
    local first = "create index concurrently a1 on a (id);\n--> statement-breakpoint\n"
    local second = "create index concurrently a2 on a (%s);"
    local dir = project.write { { "0000_a", "create table a (id int);" }, { "0001_b", first .. second:format("nope") } }
    assert.equal(1, migrate(url, dir).code)
    fs.write(dir .. "/0001_b.sql", first:gsub("a1", "a9") .. second:format("id"))
    local ran = migrate(url, dir)
    assert.equal(1, ran.code)
    assert.matches("0001_b was edited in its first 1 statement(s), which ran already", ran.stderr, 1, true)
    fs.write(dir .. "/0001_b.sql", first .. second:format("id"))
    assert.equal(0, migrate(url, dir).code)
    assert.equal(2, value(url, "select count(*) from pg_index where indrelid = 'a'::regclass and indisvalid"))
    assert.is_false(value(url, "select exists (select 1 from pg_namespace where nspname = 'migrator')"))
  end)

  it("drops the INVALID index of a failed try and builds it again", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (id int); insert into a values (1), (1);" },
      { "0001_b", "create unique index concurrently if not exists a_id on a (id);" } }
    assert.equal(1, migrate(url, dir).code)
    assert.equal(0, value(url, "select count(*) from pg_index where not indisvalid"))
    do
      local conn <close> = db.connect(url)
      conn:exec "delete from a"
    end
    assert.equal(0, migrate(url, dir).code)
    assert.is_true(value(url, "select indisvalid from pg_index where indexrelid = 'a_id'::regclass"))
  end)

  it("runs a file with the COMMIT idiom as Drizzle does", function()
    local url = pg.database()
    local ran = migrate(url, project.write { { "0000_a", "create table a (id int);\n--> statement-breakpoint\nCOMMIT;\n"
      .. "--> statement-breakpoint\ncreate index concurrently a_id on a (id);" }, { "0001_b", "create table b ();" } })
    assert.equal(0, ran.code)
    assert.equal(2, value(url, "select count(*) from drizzle.__drizzle_migrations"))
  end)

  it("does not skip what a COMMIT of the file's own rolled back", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table p (id int primary key); create table q (p int references p "
      .. "deferrable initially deferred);" },
      { "0001_b", "COMMIT;\nBEGIN;\ncreate table c ();\ninsert into q values (1);\nCOMMIT;" } }
    assert.equal(1, migrate(url, dir).code)
    do
      local conn <close> = db.connect(url)
      conn:exec "insert into p values (1)"
    end
    local ran = migrate(url, dir)
    assert.same({ 0, 1 }, { ran.code, value(url, "select count(*) from pg_tables where tablename = 'c'") })
  end)

  it("splits the run where a new enum value is used", function()
    local url = pg.database()
    local first = { "0000_a", "create type mood as enum ('sad');" }
    local dir = project.write { first }
    migrate(url, dir)
    project.write({ first, { "0001_b", "alter type mood add value 'ok';" },
      { "0002_c", "create table t (m mood default 'ok');" } }, dir)
    local ran = migrate(url, dir)
    assert.equal(0, ran.code)
    assert.matches("uses 'ok', added to the enum mood in the same run", ran.stderr, 1, true)
  end)

  it("refuses ROLLBACK and COPY FROM STDIN by name, before anything runs", function()
    local url = pg.database()
    for _, case in ipairs { { "ROLLBACK;", "ROLLBACK would undo" }, { "\\.", "COPY FROM STDIN with its rows" },
      { "COPY a FROM STDIN;", "COPY FROM STDIN reads rows" }, { "\\set x 1", "psql's meta-commands are not SQL" } } do
      local dir = project.write { { "0000_a", "create table a (id int);" }, { "0001_b", case[1] } }
      local ran = migrate(url, dir)
      assert.equal(2, ran.code)
      assert.matches(dir .. "/0001_b.sql:1:1:", ran.stderr, 1, true)
      assert.matches(case[2], ran.stderr, 1, true)
    end
    assert.equal(0, value(url, "select count(*) from pg_tables where schemaname in ('public', 'drizzle')"))
  end)
end)

describe("migrate, journal and database disagree", function()
  local function applied(list)
    local url, dir = pg.database(), project.write(list)
    assert.equal(0, migrate(url, dir).code)
    return url, dir
  end

  local A, B, C = { "0000_a", "create table a ();" }, { "0001_b", "create table b ();" },
    { "0002_c", "create table c ();" }

  it("R36 refuses when the database is ahead, in the exact words", function()
    local url, dir = applied { A, B, C }
    local ran = migrate(url, project.write({ A, B }))
    assert.equal(1, ran.code)
    assert.matches("error: Database has 3 migrations but local journal only has 2", ran.stderr, 1, true)
    assert.matches("repair --forget", ran.stderr, 1, true)
    assert.equal(0, migrate(url, dir).code)
  end)

  it("R37 refuses an edited file, naming it and the ways out", function()
    local url, dir = applied { A }
    fs.write(dir .. "/0000_a.sql", "create table a (id int);")
    local ran = migrate(url, dir)
    assert.equal(1, ran.code)
    assert.matches("0000_a was edited after it was applied", ran.stderr, 1, true)
    assert.equal(0, migrate(url, dir, "--edited", "allow").code)
  end)

  it("R26 only mentions a difference in line endings", function()
    local url, dir = applied { { "0000_a", "create table a (\n id int);\n" } }
    fs.write(dir .. "/0000_a.sql", "create table a (\r\n id int);\r\n")
    local ran = migrate(url, dir, "--verbose")
    assert.equal(0, ran.code)
    assert.matches("only in its line endings", ran.stderr, 1, true)
  end)

  it("R32 R33 refuses a stranded entry by name and applies it when told", function()
    local url, dir = applied { A, { "0002_c", "create table c ();", when = "1700000000300" } }
    project.write({ A, { "0002_c", "create table c ();", when = "1700000000300", idx = 1 },
      { "0001_b", "create table b ();", when = "1700000000200", idx = 2 } }, dir)
    local ran = migrate(url, dir)
    assert.equal(1, ran.code)
    assert.matches("0001_b was never applied", ran.stderr, 1, true)
    assert.equal(0, migrate(url, dir, "--order", "non-linear").code)
    assert.matches("0 pending", migrate(url, dir).stdout, 1, true)
  end)

  it("does not run again what was applied under another `when`", function()
    local url, dir = applied { A }
    project.write({ { "0000_a", "create table a ();", when = "1800000000000" } }, dir)
    assert.equal(0, migrate(url, dir).code)
  end)

  it("refuses a baseline over a schema that is there, and records it with `baseline`", function()
    local url = pg.database()
    do
      local conn <close> = db.connect(url)
      conn:exec "create table a ()"
    end
    local dir = project.write { A, B }
    local ran = migrate(url, dir)
    assert.equal(1, ran.code)
    assert.matches("0000_a looks like a baseline", ran.stderr, 1, true)
    assert.equal(0, cli.run { "baseline", "0000_a", "--dir", dir, "--url", url, "--confirm",
      "baseline " .. value(url, "select current_database()") }.code)
    assert.equal(0, migrate(url, dir).code)
  end)

  it("takes a row made by hand as a baseline, and says so", function()
    local url = pg.database()
    local conn = db.connect(url)
    conn:script [[create table a (); create schema drizzle;
      create table drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint);
      insert into drizzle.__drizzle_migrations (hash, created_at) values ('baseline', 1700000000000)]]
    conn:close()
    local ran = migrate(url, project.write { A, B }, "--verbose")
    assert.equal(0, ran.code)
    assert.matches('0000_a was recorded by hand (hash "baseline")', ran.stderr, 1, true)
  end)
end)

describe("migrate, one runner at a time", function()
  it("R44 R52 waits for another run, says who it is, and finds nothing left to do", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (v int); insert into a values (100);" },
      { "0001_b", "select pg_sleep(1.5); update a set v = v * 2;" } }
    local first = cli.start { "migrate", "--dir", dir, "--url", url, log = dir .. "/log" }
    require("spec.support.wait").till(function()
      return value(url, "select count(*) from pg_locks where locktype = 'advisory'") > 0
    end, 5)
    local ran = migrate(url, dir)
    first:wait()
    assert.equal(0, ran.code)
    assert.matches("another run holds the lock: pid %d+, migrator, user postgres", ran.stderr)
    assert.matches("Applied 0 new", ran.stdout, 1, true)
    assert.equal(200, value(url, "select v from a"))
  end)

  it("R44 says of another role's run what it is told of it, and exits 5", function()
    local url, name = pg.database()
    local dir, role, admin = project.write { { "0000_a", "create table a ();" } }, name .. "_r", pg.admin()
    admin:exec(("create role %s login"):format(role))
    admin:exec(("grant create on database %s to %s"):format(name, role))
    local conn <close> = db.connect(url)
    conn:exec("select pg_advisory_lock($1::int8)",
      require("migrator.tracking").new("drizzle", "__drizzle_migrations").key)
    local theirs = url:gsub("//[^@/]*@", "//" .. role .. "@")
    local ran = migrate(theirs, dir, "--wait", "0")
    local checked = cli.run { "doctor", "--dir", dir, "--url", theirs }
    admin:exec(("revoke create on database %s from %s"):format(name, role))
    admin:exec("drop role " .. role)
    assert.equal(5, ran.code, ran.stderr)
    assert.matches("holds the lock: pid %d+, [^,]+, user postgres\n", ran.stderr)
    assert.matches("held by pid %d+, [^,]+, user postgres\n", checked.stdout)
  end)

  it("exits 5 when told not to wait", function()
    local url, dir = pg.database(), project.write { { "0000_a", "create table a ();" } }
    local tracking = require("migrator.tracking").new("drizzle", "__drizzle_migrations")
    local conn <close> = db.connect(url)
    conn:exec("select pg_advisory_lock($1::int8)", tracking.key)
    local ran = migrate(url, dir, "--wait", "0")
    assert.equal(5, ran.code)
    assert.matches("nothing was changed", ran.stderr, 1, true)
  end)

  it("R50 R53 names who holds the table, retries, then exits 5 with nothing changed", function()
    local url = pg.database()
    local conn <close> = db.connect(url)
    conn:exec "create table held (id int)"
    conn:exec "begin"
    conn:exec "lock table held"
    local ran = migrate(url, project.write { { "0000_a", "alter table held add x int;" } }, "--lock-timeout", "1500ms",
      "--tries", "2")
    conn:exec "rollback"
    assert.equal(5, ran.code)
    assert.matches("0000_a waits for a lock", ran.stderr, 1, true)
    assert.matches("holds AccessExclusiveLock", ran.stderr, 1, true)
    assert.matches("trying again", ran.stderr, 1, true)
  end)
end)
