local locks = require "migrator.plan.locks"
local tree = require "migrator.plan.tree"

local function text_of(list)
  local out = {}
  for i, lock in ipairs(list) do out[i] = lock.object .. (lock.table_too and "+: " or ": ") .. lock.mode end
  return table.concat(out, ", ")
end

local function of(text) return text_of(locks.of(tree.parse(text))) end

local function all(...)
  local list = {}
  for i, text in ipairs { ... } do list[i] = { text = text } end
  local found, unreadable = locks.all(list)
  return text_of(found), #unreadable
end

describe("plan.locks.of", function()
  it("knows the locks of ALTER TABLE by what it does", function()
    for text, expected in pairs {
      ["alter table t add column c int"] = "t: ACCESS EXCLUSIVE",
      ["alter table t validate constraint k"] = "t: SHARE UPDATE EXCLUSIVE",
      ["alter table t add constraint k foreign key (a) references u"] =
        "t: SHARE ROW EXCLUSIVE, u: SHARE ROW EXCLUSIVE",
      ["alter table t add column a int references u"] = "t: ACCESS EXCLUSIVE, u: SHARE ROW EXCLUSIVE",
      ["alter table t set (fillfactor = 70)"] = "t: SHARE UPDATE EXCLUSIVE",
      ["alter table t set (user_catalog_table = true)"] = "t: ACCESS EXCLUSIVE",
      ["alter table t alter a set statistics 9, alter b set not null"] = "t: ACCESS EXCLUSIVE",
      ["alter table t disable trigger g"] = "t: SHARE ROW EXCLUSIVE",
      ["alter table p attach partition c default"] = "p: SHARE UPDATE EXCLUSIVE, c: ACCESS EXCLUSIVE",
      ["alter table p detach partition c"] = "p: ACCESS EXCLUSIVE, c: ACCESS EXCLUSIVE",
      ["alter table p detach partition c concurrently"] = "p: SHARE UPDATE EXCLUSIVE, c: SHARE UPDATE EXCLUSIVE",
      ["alter table t inherit u"] = "t: ACCESS EXCLUSIVE, u: SHARE UPDATE EXCLUSIVE",
      ["alter table t rename to u"] = "t: ACCESS EXCLUSIVE",
      ["alter index i rename to j"] = "i: SHARE UPDATE EXCLUSIVE",
      ["alter table t set schema s"] = "t: ACCESS EXCLUSIVE",
      ["alter sequence s owned by none"] = "s: SHARE ROW EXCLUSIVE",
    } do
      assert.equal(expected, of(text), text)
    end
  end)

  it("knows those of indexes, triggers, policies, comments and maintenance", function()
    for text, expected in pairs {
      ["create index i on s.t (a)"] = "s.t: SHARE",
      ["create index concurrently i on t (a)"] = "t: SHARE UPDATE EXCLUSIVE",
      ["create policy p on t"] = "t: ACCESS EXCLUSIVE",
      ["create trigger g before insert on t execute function f()"] = "t: SHARE ROW EXCLUSIVE",
      ["create statistics x on a, b from t"] = "t: SHARE UPDATE EXCLUSIVE",
      ["comment on column s.t.c is 'x'"] = "s.t: SHARE UPDATE EXCLUSIVE",
      ["comment on function f() is 'x'"] = "",
      ["vacuum a, b"] = "a: SHARE UPDATE EXCLUSIVE, b: SHARE UPDATE EXCLUSIVE",
      ["vacuum (full) t"] = "t: ACCESS EXCLUSIVE",
      ["vacuum (full off) t"] = "t: SHARE UPDATE EXCLUSIVE",
      ["analyze t"] = "t: SHARE UPDATE EXCLUSIVE",
      ["cluster t using i"] = "t: ACCESS EXCLUSIVE",
      ["reindex table t"] = "t: SHARE",
      ["reindex (concurrently) table t"] = "t: SHARE UPDATE EXCLUSIVE",
      ["refresh materialized view concurrently v"] = "v: EXCLUSIVE",
      ["lock table t, u in share mode"] = "t: SHARE, u: SHARE",
      ["truncate a, b"] = "a: ACCESS EXCLUSIVE, b: ACCESS EXCLUSIVE",
      ["create publication p for table t"] = "t: SHARE UPDATE EXCLUSIVE",
    } do
      assert.equal(expected, of(text), text)
    end
  end)

  it("names every table of a DROP, and of an index its table too", function()
    assert.equal("a: ACCESS EXCLUSIVE, s.b: ACCESS EXCLUSIVE", of "drop table a, s.b")
    assert.equal("s.t: ACCESS EXCLUSIVE", of "drop trigger g on s.t")
    assert.equal("i+: SHARE UPDATE EXCLUSIVE", of "drop index concurrently i")
    assert.equal("", of "drop function f()")
  end)

  it("knows what a new table refers to, hangs from and is made like", function()
    assert.equal("", of "create table t (a int)")
    assert.equal("u: SHARE ROW EXCLUSIVE, v: SHARE ROW EXCLUSIVE",
      of "create table t (a int references u, b int, foreign key (b) references v (x))")
    assert.equal("p: ACCESS EXCLUSIVE", of "create table t partition of p default")
    assert.equal("p: SHARE UPDATE EXCLUSIVE, l: ACCESS SHARE", of "create table t (like l) inherits (p)")
  end)

  it("knows what queries write, lock and read, and not the names of WITH", function()
    assert.equal("t: ROW EXCLUSIVE", of "insert into t values (1)")
    assert.equal("t: ROW EXCLUSIVE, a: ACCESS SHARE, b: ACCESS SHARE",
      of "insert into t select * from b where exists (select from a)")
    assert.equal("x: ROW EXCLUSIVE, y: ROW SHARE",
      of "with d as (delete from x returning *) select * from d, y for update")
    assert.equal("a: ACCESS SHARE", of "create view v as select * from a")
    assert.equal("v: ACCESS EXCLUSIVE, a: ACCESS SHARE", of "create or replace view v as select * from a")
  end)

  it("says nothing of what it cannot read", function() assert.equal("", of "not sql") end)
end)

describe("plan.locks.all", function()
  it("gives each relation once, with its strongest lock, in the order of first use", function()
    assert.equal("t: ACCESS EXCLUSIVE, u: SHARE ROW EXCLUSIVE",
      (all("create index i on t (a)", "alter table t add foreign key (a) references u",
        "alter table public.t add b int")))
  end)

  it("leaves out what the same statements make, also by another name", function()
    assert.equal("", (all("create table t (a int)", "create index i on public.t (a)", "drop index i")))
    assert.equal("t: ACCESS EXCLUSIVE", (all("alter table t rename to u", "alter table u add a int")))
    assert.equal("t: ACCESS EXCLUSIVE", (all("alter table t set schema s", "alter table s.t add a int")))
    assert.equal("t: ACCESS EXCLUSIVE", (all("drop table t", "create table t (a int)", "alter table t add b int")))
  end)

  it("counts what it cannot read", function()
    local found, unreadable = all("alter table t add b int", "merge nonsense")
    assert.same({ "t: ACCESS EXCLUSIVE", 1 }, { found, unreadable })
  end)
end)
