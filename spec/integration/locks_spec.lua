local db = require "migrator.db"
local locks = require "migrator.plan.locks"
local pg = require "spec.support.pg"
local tree = require "migrator.plan.tree"

local SCHEMA = [[
create table t (a int primary key, b text, c int not null); create table u (id int primary key, x int);
create table fk (x int constraint fk_u references u); create index ti on t (c); create sequence q;
create table p (a int) partition by range (a); create table p1 partition of p for values from (0) to (10);
create table loose (a int); create view v as select a from t; create materialized view mv as select a from t;
create unique index mvi on mv (a); create schema s; create table s.t (a int);
create function f() returns trigger language plpgsql as 'begin return null; end';
create trigger g before insert on t for each row execute function f(); create policy po on t;
create statistics st on a, c from t; create table inh (a int); create role planner_spec_role]]

-- What can run in a transaction: what our backend holds afterwards is what the tree was read to say.
local INSIDE = {
  "alter table t add column z int", "alter table t alter b set statistics 5", "alter table t set (fillfactor = 50)",
  "alter table t set (autovacuum_enabled = off)", "alter table t reset (user_catalog_table)",
  "alter table t disable trigger g", "alter table t enable row level security", "alter table t alter c drop not null",
  "alter table t alter c type bigint", "alter table t rename column b to bb", "alter table t rename to tt",
  "alter table t cluster on ti", "alter table t replica identity full", "alter table t owner to planner_spec_role",
  "alter table fk add constraint k foreign key (x) references t (a)",
  "alter table fk add constraint k foreign key (x) references t (a) not valid",
  "alter table t add column z int references u (id)", "alter table fk validate constraint fk_u",
  "alter table p attach partition loose for values from (10) to (20)", "alter table p detach partition p1",
  "alter table loose inherit inh", "alter index ti rename to tj", "alter index ti set (fillfactor = 50)",
  "alter table t set schema s2", "alter sequence q increment 2", "alter sequence q rename to r",
  "alter view v rename to w", "alter view v set (security_barrier = on)", "alter policy po on t using (true)",
  "alter table t alter b set (n_distinct = 5)", "alter trigger g on t rename to h",
  "create index on t (b)", "create index on s.t (a)", "create trigger h before insert on t execute function f()",
  "create policy p2 on t", "create rule r as on insert to loose do nothing", "create statistics st2 on a, c from t",
  "create table n (a int references t (a), b int, foreign key (b) references u (id))",
  "create table n partition of p for values from (10) to (20)", "create table n () inherits (inh)",
  "create table n (like t)", "create or replace view v as select a from t", "create view w as select a from t",
  "create table n as select x from u", "create publication pu for table t, u",
  "drop table loose, s.t", "drop view v", "drop index ti", "drop trigger g on t", "drop policy po on t",
    "drop sequence q",
  "drop materialized view mv", "comment on table t is 'x'", "comment on column t.a is 'x'", "comment on view v is 'x'",
  "comment on index ti is 'x'", "comment on trigger g on t is 'x'", "comment on constraint fk_u on fk is 'x'",
  "comment on sequence q is 'x'", "comment on policy po on t is 'x'",
  "insert into loose select x from u", "update t set c = 1", "delete from u", "select * from u for update",
  "with d as (delete from loose returning a) select a from d", "copy loose from program 'echo 1'",
  "truncate loose, fk", "lock table t in exclusive mode", "lock table t, u in row share mode",
  "refresh materialized view mv", "refresh materialized view concurrently mv", "cluster t using ti", "reindex table t",
  "reindex index ti", "analyze t", "analyze loose, u",
}

-- Locks on relations that were there before, under the names they had, less the catalogue and what a name does not tell.
local HELD = [[select r.name, l.mode from pg_locks l join before r on r.oid = l.relation
  where l.pid = pg_backend_pid() and l.granted]]

local RANK = { AccessShareLock = "ACCESS SHARE", RowShareLock = "ROW SHARE", RowExclusiveLock = "ROW EXCLUSIVE",
  ShareUpdateExclusiveLock = "SHARE UPDATE EXCLUSIVE", ShareLock = "SHARE",
    ShareRowExclusiveLock = "SHARE ROW EXCLUSIVE",
  ExclusiveLock = "EXCLUSIVE", AccessExclusiveLock = "ACCESS EXCLUSIVE" }

local function held(conn)
  local out = {}
  for _, row in ipairs(conn:exec(HELD)) do
    local mode = RANK[row.mode]
    if not out[row.name] or locks.covers(mode, out[row.name]) then out[row.name] = mode end
  end
  return out
end

local function run(conn, text)
  conn:exec "begin"
  local ok, err = pcall(conn.exec, conn, text)
  local found = ok and held(conn)
  conn:exec "rollback"
  return found, not ok and err.message
end

describe("plan.locks.of, on a server,", function()
  local conn

  setup(function()
    conn = db.connect((pg.database()))
    conn:script(SCHEMA .. "; create schema s2")
    conn:script [[create table before as select c.oid, c.oid::regclass::text as name from pg_class c
      join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 's')]]
  end)
  teardown(function()
    conn:script "drop role planner_spec_role"
    conn:close()
  end)

  it("says the mode that PostgreSQL takes, for each relation that a statement names", function()
    local wrong = {}
    for _, text in ipairs(INSIDE) do
      local found, refusal = run(conn, text)
      if not found then wrong[#wrong + 1] = text .. ": " .. refusal end
      for _, lock in ipairs(found and locks.of(tree.parse(text)) or {}) do
        if found[lock.object] ~= lock.mode then
          wrong[#wrong + 1] = ("%s: %s has %s, not %s"):format(text, lock.object, tostring(found[lock.object]),
            lock.mode)
        end
      end
    end
    assert.same({}, wrong)
  end)

  it("misses no table that others would have to wait for", function()
    local wrong = {}
    for _, text in ipairs(INSIDE) do
      local said = {}
      for _, lock in ipairs(locks.of(tree.parse(text))) do said[lock.object] = true end
      for name, mode in pairs(run(conn, text) or {}) do
        local index = name == "ti" or name:find("_pkey$") or name == "mvi"
        if not said[name] and not index and locks.covers(mode, "SHARE UPDATE EXCLUSIVE") then
          wrong[#wrong + 1] = ("%s: %s of %s"):format(text, mode, name)
        end
      end
    end
    -- what only the catalogue knows: the other end of a foreign key, the table of an index, partitions of a table
    assert.same({ "drop index ti: ACCESS EXCLUSIVE of t", "reindex index ti: SHARE of t" }, wrong)
  end)
end)
