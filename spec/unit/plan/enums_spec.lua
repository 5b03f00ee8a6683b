local enums = require "migrator.plan.enums"
local sql = require "migrator.core.sql"

local function statement(text) return { text = text, words = sql.split(text)[1].words } end

-- What the last statement uses of what those before it added: "mood.ok", or nil.
local function use(list, version)
  local watcher = enums.watcher(version)
  for i = 1, #list - 1 do enums.see(watcher, statement(list[i])) end
  local found = enums.find_use(watcher, statement(list[#list]))
  return found and found.type .. "." .. found.value
end

local ADD = "alter type mood add value 'ok'"

describe("plan.enums", function()
  it("finds the use of a value that was added before", function()
    for _, text in ipairs { "insert into t values ('ok')", "update t set m = 'ok'::mood",
      "create table t (m mood default 'ok')", "alter table t alter m set default 'ok'",
      "create index i on t (a) where m = 'ok'", "do $$ begin insert into t values ('ok'); end $$" } do
      assert.equal("mood.ok", use { ADD, text })
    end
  end)

  it("reads every form of ALTER TYPE … ADD VALUE", function()
    for _, text in ipairs { "ALTER TYPE mood ADD VALUE 'ok'",
      "alter type public.mood add value if not exists 'ok'",
      'ALTER TYPE "public"."mood" ADD VALUE \'ok\' BEFORE \'sad\'',
      "alter type mood\n  add  value 'ok' after 'sad'" } do
      assert.equal("mood.ok", use { text, "select 'ok'::mood" })
    end
  end)

  it("does not take a literal for a use that cannot be one", function()
    for _, text in ipairs { "create type other as enum ('ok', 'x')",
      "do $$ begin create type other as enum('ok'); end $$",
      "comment on type mood is 'ok'", "create table t (c text default 'ok' not null)",
      "create table t (c varchar(20) DEFAULT 'ok')",
      "do $$ begin if not exists (select 1 from pg_enum e where e.enumlabel = 'ok') then "
        .. "alter type mood add value 'ok'; end if; end $$" } do
      assert.is_nil(use { ADD, text }, text)
    end
    assert.is_nil(use { ADD, "drop type if exists public.mood", "create table t (m mood default 'ok')" })
  end)

  it("takes the value that is added, not its neighbour", function()
    local add = "alter type mood add value 'ok' before 'sad'"
    assert.is_nil(use { add, "insert into t values ('sad')" })
  end)

  it("finds nothing where the value is not used", function()
    assert.is_nil(use { ADD, "insert into t values ('okay')" })
    assert.is_nil(use { ADD, "select ok from t" })
    assert.is_nil(use { "select 1", "insert into t values ('ok')" })
    assert.is_nil(use { "alter type mood rename value 'ok' to 'fine'", "insert into t values ('fine')" })
    assert.is_nil(use { "alter type mood owner to me", "insert into t values ('ok')" })
  end)

  it("does not call another addition a use", function()
    assert.is_nil(use { ADD, "alter type mood add value 'better' after 'ok'" })
  end)

  it("remembers several additions and names the one that is used", function()
    assert.equal("size.xl", use { ADD, "alter type size add value 'xl'", "insert into t values ('xl')" })
    assert.equal("mood.ok", use { ADD, "alter type size add value 'xl'", "insert into t values ('ok')" })
  end)

  describe("with a type that the same transaction made", function()
    local MADE = { "create type mood as enum ('sad')", ADD, "insert into t values ('ok')" }

    it("finds the use up to PostgreSQL 16, and where the version is unknown", function()
      assert.equal("mood.ok", use(MADE, 160004))
      assert.equal("mood.ok", use(MADE, 130000))
      assert.equal("mood.ok", use(MADE))
    end)

    it("lets it pass from PostgreSQL 17 on", function()
      assert.is_nil(use(MADE, 170000))
      assert.is_nil(use(MADE, 180001))
    end)

    it("finds the use of a type made earlier on PostgreSQL 17 as well", function()
      assert.equal("mood.ok", use({ ADD, "insert into t values ('ok')" }, 170000))
      assert.equal("mood.ok", use({ "create type other as enum ('x')", ADD, "insert into t values ('ok')" }, 170000))
    end)

    it("finds no use of a value that the type was made with", function()
      assert.is_nil(use { "create type mood as enum ('ok')", "insert into t values ('ok')" })
    end)
  end)
end)
