local destructive = require "migrator.plan.destructive"
local sql = require "migrator.core.sql"
local tree = require "migrator.plan.tree"

local function statement(text) return { text = text, words = sql.split(text)[1].words } end

local function find(text)
  local kind, node = tree.parse(text)
  local out = {}
  for i, found in ipairs(destructive.find(statement(text), kind, node)) do
    out[i] = found.rule .. ":" .. found.loses .. ":" .. (found.object or "")
  end
  return table.concat(out, " ")
end

local function renames(...)
  local watcher = destructive.rename_watcher()
  for _, text in ipairs { ... } do watcher.see(tree.parse(text)) end
  local out = {}
  for i, found in ipairs(watcher.finish()) do out[i] = found.message:match("^[^:]*") end
  return out
end

describe("plan.destructive", function()
  it("R108 names what is lost", function()
    for text, expected in pairs {
      ['drop table a.b, "C d"'] = 'drop-table:data:a.b drop-table:data:"C d"',
      ["drop policy p on t"] = "drop-policy:definition:p on t",
      ["drop index concurrently i"] = "drop-index:definition:i",
      ["drop view v cascade"] = "drop-view:data:v",
      ["drop type public.mood"] = "drop-type:data:public.mood",
      ["drop function f(int)"] = "drop-function:definition:f",
      ["truncate a, b"] = "truncate:data:a truncate:data:b",
      ["alter table t drop column c, add column d int"] = "drop-column:data:t.c",
      ["alter table t alter column c set data type text using c::text"] = "column-type:data:t.c",
      ["alter table t drop constraint k"] = "drop-constraint:definition:k",
      ["delete from t"] = "delete-all:data:t",
      ["delete from t where i = 1"] = "",
      ["update t set i = 1"] = "update-all:data:t",
      ["update t set i = u.i from u"] = "",
      ["with gone as (delete from t returning i) select * from gone"] = "delete-all:data:t",
      ["do $$ begin drop table x; end $$"] = "do-block:data:",
      ["do $$ begin perform 1; end $$"] = "",
      ["create table t (i int)"] = "",
      ["alter table t rename column a to b"] = "",
      ["drop something new table t"] = "drop:data:",
    } do
      assert.equal(expected, find(text), text)
    end
  end)

  it("R108 tells what looks like a rename", function()
    assert.same({ "drops a and adds b on t in one file" },
      renames("alter table t drop column a", "alter table t add column b int"))
    assert.same({}, renames("alter table t drop column a", "alter table u add column b int"))
    assert.same({ "drops the table a and creates b in one file" }, renames("drop table a", "create table b (i int)"))
    assert.same({}, renames("drop table a", "create table a (i int)"))
  end)
end)
