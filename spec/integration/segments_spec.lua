local boot = require "migrator.ephemeral.boot"
local capacity = require "migrator.plan.capacity"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local find = require "migrator.ephemeral.find"
local hash = require "migrator.core.hash"
local kinds = require "migrator.plan.kinds"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local sql = require "migrator.core.sql"
local wait = require "spec.support.wait"

local function statement(text) return { text = text, words = sql.split(text)[1].words } end

-- A server whose lock table is a tenth of the default one.
local function start_small()
  local dir, programs = "/tmp/migrator-pg-" .. hash.random_hex(6), find.programs()
  local child = process.start { cmd = { "/bin/sh", "-c", boot.START, "migrator-ephemeral", dir, "", "none", "none", "1",
    programs, "-c", "unix_socket_directories=" .. dir, "-c", "listen_addresses=", "-c", "port=5432", "-c", "fsync=off",
    "-c", "max_connections=10", "-c", "max_wal_senders=0", "-c", "max_worker_processes=0", "-c",
    "autovacuum_max_workers=1", "-c", "max_locks_per_transaction=64" }, user = find.user(), cwd = "/",
    env = { "LC_ALL=C", "HOME=/", "PATH=/usr/bin:/bin" }, stop_signal = "INT", grace = 5, guard = true,
    after = { "/bin/sh", "-c", boot.CLEAN, "migrator-ephemeral", dir } }
  local url = ("postgresql://postgres@/postgres?host=%s"):format(dir)
  wait.till(function() return (pcall(function() db.connect(url):close() end)) end, 30)
  return child, url
end

local CREATE = 'create table "t%d" (id serial primary key, name text);\n--> statement-breakpoint\n'
  .. 'create index on "t%d" (name);'

local function tables(first, last)
  local out = {}
  for i = first, last do out[#out + 1] = CREATE:format(i, i) end
  return out
end

describe("migrate, where the lock table is small,", function()
  local child, url
  local conn

  setup(function()
    child, url = start_small()
    conn = db.connect(url)
  end)
  teardown(function()
    conn:close()
    child:stop()
  end)
  before_each(function()
    conn:script "drop schema if exists drizzle cascade"
    for first = 1, 600, 50 do -- in parts: dropping takes locks too
      local names = {}
      for i = first, first + 49 do names[#names + 1] = '"t' .. i .. '"' end
      conn:script("drop table if exists " .. table.concat(names, ", "))
    end
  end)

  local function count()
    return conn:value "select count(*) from pg_class where relkind = 'r' and relname ~ '^t[0-9]+$'"
  end

  it("R38 fails with 53200 as one transaction, and says what to do", function()
    local ok, err = pcall(conn.transaction, conn, function()
      for _, text in ipairs(tables(1, 600)) do conn:script((text:gsub("%-%-> statement%-breakpoint", ""))) end
    end)
    assert.is_false(ok)
    assert.equal("53200", err.sqlstate)
    assert.matches("max_locks_per_transaction", err.hint)
    assert.equal(0, count())
  end)

  it("R38 commits 600 creating migrations in parts, foreseen by plan", function()
    local list = {}
    for i, text in ipairs(tables(1, 600)) do list[i] = { ("%04d_t"):format(i), text } end
    local dir = project.write(list)
    local planned = cli.run { "plan", "--dir", dir, "--url", url }
    local parts = tonumber(planned.stdout:match("Part 2 of (%d+)"))
    assert.is_true(parts > 4 and parts < 20)
    assert.matches("because %S+/%d+_t.sql: the locks of more would not fit into the server's lock table "
      .. "%(max_locks_per_transaction = 64; %d+ would hold them all%)", planned.stdout)
    local ran = cli.run { "migrate", "--dir", dir, "--url", url, seconds = 120 }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("notice: the run is committed in " .. parts .. " parts; part 2: ", ran.stderr)
    assert.matches("Verified: database has all 600 migrations", ran.stdout)
    assert.equal(600, count())
  end)

  it("refuses before anything runs a file that fits into no transaction, and runs it without one", function()
    local big = table.concat(tables(1, 300), "\n--> statement-breakpoint\n")
    local dir = project.write { { "0000_small", "create table t600 ()" }, { "0001_big", big } }
    local ran = cli.run { "migrate", "--dir", dir, "--url", url }
    assert.equal(2, ran.code, ran.stderr)
    assert.matches("0001_big alone takes about %d+ locks, and the server's lock table has room for about %d+ "
      .. "%(max_locks_per_transaction = 64%)", ran.stderr)
    assert.matches("raise max_locks_per_transaction to %d+ and restart the server, split the file", ran.stderr)
    assert.equal(0, count())
    project.write({ { "0000_small", "create table t600 ()" }, { "0001_big", "-- migrator: no-transaction\n"
      .. big } }, dir)
    ran = cli.run { "migrate", "--dir", dir, "--url", url, seconds = 120 }
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(301, count())
  end)
end)

local SCHEMA = [[
create table big (a int primary key, b text, c int); create table other (id int primary key);
create table part (a int) partition by range(a); create table fkc (x int references big (a)); create sequence sq;
create type en as enum ('a'); create schema s; create function sf(int) returns int language sql as 'select 1';
create function fn() returns trigger language plpgsql as 'begin return null; end'; create table lone (a int);
create view vw as select * from big; create materialized view mv as select * from big; create index bi on big (c);
create table idt (i int generated always as identity primary key, t text, s serial)]]

local MEASURED = {
  "create table t (a int)", "create table t (a text primary key, b int unique, c serial)",
  "create table t (a int references big (a), b int references other (id), c en, d en[])",
  "create table s.t (a int generated always as identity, exclude using btree (a with =))",
  "create table t (like big including all)", "create table t partition of part for values from (1) to (2)",
  "create table t as select * from big", "create unique index ix on big (b, c)", "create index ix on big (sf(a))",
  "alter table big add z int", "alter table lone add z text", "alter table big add z int default random()",
  "alter table big add z serial", "alter table big add z int references other (id)",
  "alter table big add constraint uq unique (c)",
  "alter table big add constraint fk foreign key (c) references other (id)", "alter table fkc alter x type bigint",
  "alter table big alter c set not null", "alter table idt drop column s", "alter table fkc drop column x",
  "alter table fkc drop constraint fkc_x_fkey", "alter table big set schema s", "alter table idt set schema s",
  "alter table idt owner to current_user", "alter table big set (fillfactor = 50)", "alter table big rename to b2",
  "alter table big enable row level security", "create policy p on big using (exists (select from other))",
  "create type ty as enum ('a')", "create type ty as (a int)", "create domain dm as en check (value = 'a')",
  "create type ty as range (subtype = int)", "alter type en add value 'z'",
  "create function ff(x en) returns big language sql as 'select * from big'",
  "create trigger tg before insert on big for each row execute function fn()",
  "create view v2 as select big.* from big join other on true", "create or replace view vw as select * from big",
  "create materialized view m2 as select * from big", "refresh materialized view mv", "create sequence s.s2",
  "alter sequence sq owned by big.a", "create schema s2", "create statistics st on b, c from big",
  "create publication pu for table big, other", "comment on column big.a is 'x'", "comment on type en is 'x'",
  "grant select on big to current_user", "drop table fkc", "drop table idt", "drop table other, lone", "drop view vw",
  "drop materialized view mv", "drop index bi", "drop sequence sq", "drop function sf(int)", "drop schema s",
  "truncate other, lone", "insert into big values (1, 'x', 1)", "insert into idt (t) select b from big",
  "update big set c = 1 where a = 1", "select * from vw", "lock table big, other", "reindex table big", "analyze big",
  "do $$ begin create table dq (a text primary key); end $$", "cluster big using big_pkey",
    "create role planner_spec_role2",
  "alter table big add constraint ck check (c > 0)", "drop table big cascade", "create extension plpgsql_none",
}

local LOCKS = [[select count(distinct (locktype, relation, classid, objid, objsubid, transactionid::text))
  from pg_locks l where pid = pg_backend_pid() and locktype <> 'virtualxid' and not (locktype = 'relation' and mode =
  'AccessShareLock' and relation::regclass::text ~ '^pg_')]]

describe("plan.capacity", function()
  it("expects no fewer locks of a statement than a server counts", function()
    local conn <close> = db.connect((pg.database()))
    conn:script(SCHEMA)
    local low, high = {}, {}
    for _, text in ipairs(MEASURED) do
      conn:exec "begin"
      local ok = pcall(conn.exec, conn, text)
      local counter = capacity.counter()
      local own = counter.total
      counter:see(statement(text))
      local said, found = counter.total - own + 1, ok and conn:value(LOCKS) or 0 -- and the transaction's own id
      if said < found then low[#low + 1] = ("%s: %d, not %d"):format(text, found, said) end
      if said > found + 10 and ok and not text:find("drop", 1, true) then
        high[#high + 1] = ("%s: %d, not %d"):format(text, found, said)
      end
      conn:exec "rollback"
    end
    assert.same({}, low)
    assert.is_true(#high < #MEASURED // 8, table.concat(high, "\n"))
  end)

  it("counts nothing for what takes no more of them the second time", function()
    local counter = capacity.counter()
    local function see(text)
      local before = counter.total
      counter:see(statement(text))
      return counter.total - before
    end
    for _, text in ipairs { "select 1 from t", "insert into t values (1)", "update t set a = 1", "delete from t",
      "comment on column t.a is 'x'", "alter table t alter a set default 1", "alter table t enable row level security",
      "grant select on t to public", "set local work_mem = '4MB'" } do
      see(text)
      assert.equal(0, see(text), text)
    end
  end)

  it("counts a whole migration as the server does, within a quarter", function()
    local conn <close> = db.connect((pg.database()))
    local counter, own = capacity.counter(), capacity.counter().total
    conn:exec "begin"
    for i = 1, 50 do
      for _, text in ipairs { 'create table "t%d" (id uuid primary key, org uuid not null, name text, n jsonb)',
        'alter table "t%d" add column at timestamptz', 'create index "i%d" on "t%d" (org, at)',
        'alter table "t%d" enable row level security', 'create policy p on "t%d" to public using (true)',
        'insert into "t%d" (id, org) values (gen_random_uuid(), gen_random_uuid())' } do
        text = text:format(i, i)
        conn:exec(text)
        counter:see(statement(text))
      end
    end
    local found, said = conn:value(LOCKS), counter.total - own
    conn:exec "rollback"
    assert.is_true(said >= found - 2 and said < found * 1.25, ("%d, not %d"):format(found, said))
  end)
end)

-- PostgreSQL looks at the transaction before it looks at the names, mostly; `make` is for the others.
local REFUSED = { "vacuum", "vacuum (full) t", "create database planner_none", "drop database planner_none",
  "alter database postgres set tablespace pg_default", "create tablespace planner_none location '/nowhere'",
  "drop tablespace planner_none", "alter system set work_mem = '4MB'", "alter system reset all",
  "create index concurrently i on t (a)", "create unique index concurrently on t (a)", "drop index concurrently ti",
  "reindex database postgres", "reindex (verbose) system postgres", "reindex schema public",
  "reindex (verbose) schema public", "reindex table concurrently t", "reindex (concurrently) table t",
  "reindex (verbose, concurrently true) index ti", "reindex table p", "reindex index pi", "cluster", "cluster verbose",
  "cluster p using pi", "alter table p detach partition p1 concurrently", "discard all",
  "commit prepared 'x'", "rollback prepared 'x'", "create subscription s2 connection '' publication p",
  "drop subscription s", "alter subscription s set publication p", "alter subscription s add publication q",
  "alter subscription s drop publication r", "alter subscription s refresh publication",
  "call committing()", "do $$ begin commit; end $$", "do 'begin rollback; end'" }
local ALLOWED = { "reindex table t", "reindex (concurrently false) table t", "cluster t using ti", "analyze",
  "checkpoint",
  "alter table p detach partition p1", "discard plans", "alter type mood add value 'x'", "call calm()",
  "alter subscription s disable", "create index on p (a)", "alter database postgres set work_mem = '4MB'",
  "drop index ti", "refresh materialized view mv", "listen x", "drop owned by planner_spec_role3" }

describe("plan.kinds.of, on a server,", function()
  local conn

  setup(function()
    conn = db.connect((pg.database()))
    conn:script [[create table t (a int); create index ti on t (a); create type mood as enum ('a');
      create table p (a int) partition by range (a); create table p1 partition of p for values from (0) to (9);
      create index pi on p (a); create materialized view mv as select 1; create role planner_spec_role3;
      create procedure committing() language plpgsql as 'begin commit; end';
      create procedure calm() language plpgsql as 'begin perform 1; end']]
    conn:script [[create subscription s connection 'dbname=none' publication p, r with (connect = false)]]
    conn:script [[alter subscription s enable]]
  end)
  teardown(function()
    pcall(conn.script, conn, "alter subscription s disable")
    conn:script "alter subscription s set (slot_name = none)"
    conn:script "drop subscription s; drop role planner_spec_role3"
    conn:close()
  end)

  local function try(text)
    conn:exec "begin"
    local ok, err = pcall(conn.exec, conn, text)
    conn:exec "rollback"
    return ok, err
  end

  it("R39 calls outside what PostgreSQL refuses in a transaction", function()
    local partitioned, procedures = { p = true, pi = true }, { committing = true }
    for _, text in ipairs(REFUSED) do
      local ok, err = try(text)
      assert.is_false(ok, text)
      assert.is_true(err.sqlstate == "25001" or err.sqlstate == "2D000", text .. ": " .. tostring(err))
      assert.equal("outside", kinds.of(statement(text), procedures, partitioned), text)
    end
  end)

  it("R39 leaves in the transaction what PostgreSQL takes there", function()
    local partitioned = { p = true, pi = true }
    for _, text in ipairs(ALLOWED) do
      local ok, err = try(text)
      assert.is_true(ok, text .. ": " .. tostring(err))
      assert.equal("plain", kinds.of(statement(text), { committing = true }, partitioned), text)
    end
  end)

  it("R39 migrates with REINDEX and CLUSTER of partitioned relations that the database has", function()
    local url = pg.database()
    local dir = project.write { { "0000_a",
      "create table p (a int) partition by range (a); create index pi on p (a)" } }
    assert.equal(0, cli.run({ "migrate", "--dir", dir, "--url", url }).code)
    project.write({ { "0000_a", "create table p (a int) partition by range (a); create index pi on p (a)" },
      { "0001_b", "select 1; reindex index pi; reindex table p; select 2" } }, dir)
    local ran = cli.run { "migrate", "--dir", dir, "--url", url }
    assert.equal(0, ran.code, ran.stderr)
  end)
end)
