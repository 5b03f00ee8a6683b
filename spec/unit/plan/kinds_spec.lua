local kinds = require "migrator.plan.kinds"
local sql = require "migrator.core.sql"

local function statement(text) return { text = text, words = sql.split(text)[1].words } end

local function kind(text, procedures) return kinds.of(statement(text), procedures) end

local function check(expected, list)
  local wrong = {}
  for _, text in ipairs(list) do
    local found = kind(text)
    if found ~= expected then wrong[#wrong + 1] = ("%s: %s"):format(text, found) end
  end
  assert.same({}, wrong)
end

describe("plan.kinds.of", function()
  it("R39 knows each statement that PostgreSQL refuses inside a transaction", function()
    check("outside", { "VACUUM", "vacuum (full, analyze) t", "VACUUM FREEZE t", "create database d", "DROP DATABASE d",
      "drop database if exists d with (force)", "CREATE TABLESPACE s LOCATION '/x'", "DROP TABLESPACE s",
      "ALTER SYSTEM SET work_mem = '1MB'", "alter system reset all", "CREATE INDEX CONCURRENTLY i ON t (a)",
      "create unique index concurrently if not exists i on t (a)", "CREATE INDEX CONCURRENTLY ON t (a)",
      "drop index concurrently i", "DROP INDEX CONCURRENTLY IF EXISTS i", "REINDEX DATABASE d", "reindex system d",
      "REINDEX SCHEMA s", "REINDEX INDEX CONCURRENTLY i", "reindex (verbose) table concurrently t",
      "REINDEX (CONCURRENTLY) TABLE t", "CLUSTER", "cluster;",
      "ALTER TABLE p DETACH PARTITION c CONCURRENTLY", "alter table only s.p\n  detach partition s.c concurrently",
      "ALTER DATABASE d SET TABLESPACE s", "CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p",
      "DROP SUBSCRIPTION s", "ALTER SUBSCRIPTION s REFRESH PUBLICATION", "ALTER SUBSCRIPTION s SET PUBLICATION p",
      "reindex (verbose) database d", "REINDEX (TABLESPACE s) SCHEMA n", "reindex (concurrently true) index i",
      "reindex (verbose, concurrently) table t", "CLUSTER VERBOSE", "cluster (verbose)", "DISCARD ALL",
      "COMMIT PREPARED 'x'", "rollback prepared 'x'", "ALTER SUBSCRIPTION s ADD PUBLICATION p",
      "alter subscription s set (failover = true)", "alter subscription s set (two_phase = false)", "repack",
      "repack (concurrently) t", "select pg_create_logical_replication_slot('s', 'pgoutput')",
      "do 'begin insert into t values (1); commit; end'",
      "do $$ begin insert into t values (1); commit; end $$",
      "DO LANGUAGE plpgsql $x$ BEGIN LOOP COMMIT AND CHAIN; END LOOP; END $x$" })
  end)

  it("is not put off by case, comments or blanks", function()
    check("outside", { "/* a */ create -- b\n index\tconcurrently i on t (a)",
      "Create /* x */ Unique Index\nConcurrently i on t (a)",
      "reindex /* now */ table\n\nconcurrently t", "-- first\nvacuum" })
  end)

  it("leaves in the transaction what only looks like those", function()
    check("plain", { "create index i on t (a)", "create unique index concurrently_i on t (a)",
      'create index "concurrently" on t (a)', "drop index i", "reindex table t", "reindex index i", "cluster t using i",
      "cluster t", "alter table p detach partition c", "alter table p detach partition c finalize",
      "alter table t add column concurrently text default 'DETACH PARTITION x CONCURRENTLY'",
      "alter database d set work_mem = '1MB'", "alter database d rename to e", "alter subscription s disable",
      "analyze t", "select 'vacuum'", "select 1 -- create index concurrently", "insert into t values ('COMMIT;')",
      "do $$ begin perform 1; end $$", "do $$ begin perform 'commit;'; end $$", "do $$ begin -- commit;\n end $$",
      "do $$ begin /* commit; */ end $$", "create function f() returns int language sql as 'select 1'",
      "create table t (id int)", "alter type mood add value 'ok'", "comment on table t is 'VACUUM'",
      "refresh materialized view concurrently v", "create table vacuum_log ()", "lock table t", "prepare p as select 1",
      "set local role x", "call p()",
      "reindex (concurrently false) table t", "reindex (concurrently off) table t", "reindex table concurrently_t",
      "cluster verbose t using i", "cluster (verbose) t", "discard plans",
        "alter subscription s set (slot_name = none)",
      "do 'begin perform ''commit;''; end'", "repack t", "alter type mood add value 'x'", "checkpoint" })
  end)

  it("knows transaction control", function()
    check("control", { "BEGIN", "begin isolation level serializable", "START TRANSACTION", "COMMIT",
      "commit and chain", "END", "SAVEPOINT a", "RELEASE SAVEPOINT a", "rollback to a", "ROLLBACK TO SAVEPOINT a",
      "rollback work to savepoint a", "rollback transaction to a" })
  end)

  it("R38 knows what would undo the run", function()
    check("rollback", { "ROLLBACK", "rollback work", "ROLLBACK AND CHAIN", "ABORT", "rollback /* to a */",
      "PREPARE TRANSACTION 'x'" })
  end)

  it("knows COPY that wants rows, and no other", function()
    check("copy", { "COPY t FROM STDIN", "copy t (a, b) from stdin with (format csv)", "copy t from\n  stdin" })
    check("copy_out", { "copy t to stdout", "COPY (select 1) TO STDOUT (format csv)" })
    check("plain", { "copy t from '/tmp/stdin'", "copy (select 'from stdin') to '/x'",
      "copy t from program 'cat' -- from stdin" })
  end)

  describe("with procedures", function()
    local COMMITTING = "create procedure s.Work(n int) language plpgsql as $$ begin commit; end $$"

    it("runs the CALL of one that commits outside of a transaction", function()
      local known = {}
      assert.equal("plain", kind(COMMITTING, known))
      assert.same({ work = true }, known)
      assert.equal("outside", kind("call s.work(1)", known))
      assert.equal("outside", kind('CALL "work" (1)', known))
      assert.equal("outside", kind("-- now\ncall work(1)", known))
    end)

    it("keeps the CALL of another in it", function()
      local known = {}
      kind("create or replace procedure calm() language plpgsql as $$ begin perform 1; end $$", known)
      assert.same({}, known)
      assert.equal("plain", kind("call calm()", known))
    end)

    it("knows CREATE OR REPLACE, and ROLLBACK in a body", function()
      local known = {}
      kind("create or replace procedure p() language plpgsql as $body$ begin rollback; end $body$", known)
      assert.equal("outside", kind("call p()", known))
    end)

    it("takes the names that the database knows", function()
      assert.equal("outside", kind("call old()", setmetatable({}, { __index = { old = true } })))
    end)
  end)
end)

describe("plan.kinds.of with partitioned relations", function()
  local function with(...)
    local known, out = {}, {}
    for i, text in ipairs { ... } do out[i] = kinds.of(statement(text), {}, known) end
    return out[#out]
  end

  it("R39 knows that REINDEX and CLUSTER of one run outside of a transaction", function()
    local make = 'create table if not exists public."Parts" (a int) partition by range (a)'
    assert.equal("outside", with(make, 'reindex table "Parts"'))
    assert.equal("outside", with("create table p (a int) partition by list (a)", "create index pi on only p (a)",
      "reindex (verbose) index PI"))
    assert.equal("outside", with("create table s.p (a int) partition by list (a)", "cluster s.p using x"))
    assert.equal("plain", with(make, "reindex table parts"))
    assert.equal("plain", with("create table p (a int)", "create index pi on p (a)", "reindex index pi"))
    assert.equal("outside", kinds.of(statement "reindex table old", {}, { old = true }))
  end)
end)

describe("plan.kinds.commits_inside", function()
  it("looks into the body alone", function()
    assert.is_true(kinds.commits_inside "do $$begin\n  commit;\nend$$")
    assert.is_true(kinds.commits_inside "do $$begin rollback; end$$")
    assert.is_false(kinds.commits_inside "select 1; commit;")
    assert.is_false(kinds.commits_inside "do $$begin committed; end$$")
    assert.is_false(kinds.commits_inside "do $$begin raise notice 'a; commit; b'; end$$")
  end)
end)

describe("plan.kinds.skeleton", function()
  it("keeps key words and drops comments and what is quoted", function()
    assert.equal("SELECT '' FROM \" WHERE A = ''",
      kinds.skeleton "select 'x''y'  from \"b c\" /* n */ where a = $q$z$q$"
      :gsub("''''", "''"))
  end)
end)

describe("plan.kinds.without_comments", function()
  it("makes texts equal that differ in comments and blanks alone", function()
    local plain = kinds.without_comments "create table t (id int, b text);"
    assert.equal(plain, kinds.without_comments "-- why\ncreate  table t (id int,\r\n\tb text); /* so /* deep */ */\n")
  end)

  it("keeps what is quoted as it is", function()
    for _, text in ipairs { "select '-- no  comment'", 'select "a  b"', "select $x$ /* no */  $x$", "select $$--$$" } do
      assert.equal(text, (kinds.without_comments(text)))
    end
    assert.not_equal(kinds.without_comments "select 'a'", kinds.without_comments "select 'a '")
  end)
end)

describe("plan.kinds.mark", function()
  it("marks each statement of a list and gives it back", function()
    local list = { statement "begin", statement "select 1", statement "vacuum" }
    assert.equal(list, kinds.mark(list))
    assert.same({ "control", "plain", "outside" }, { list[1].kind, list[2].kind, list[3].kind })
    kinds.mark(list, { nil, "outside" })
    assert.equal("outside", list[2].kind)
  end)
end)
