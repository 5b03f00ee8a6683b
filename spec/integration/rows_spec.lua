-- Rows of the requirements about who may do what, and what is said when it goes wrong.
local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local reader = require "migrator.reader"
local tmp = require "spec.support.tmp"
local tracking = require "migrator.tracking"

local function run(url, dir, text, ...)
  tmp.write(dir .. "/p.lua", text)
  return cli.run { dir .. "/p.lua", cwd = dir, env = { DATABASE_URL = url }, ... }
end

local function value(url, query)
  local conn <close> = db.connect(url)
  return conn:value(query)
end

describe("reader", function()
  local url, name, opened

  before_each(function()
    url, name = pg.database()
    opened = 0
    local conn <close> = db.connect(url)
    conn:script [[create table t (i int); insert into t values (1);
      create function sly() returns int language plpgsql as $$ begin
        perform set_config('transaction_read_only', 'off', false);
        insert into t values (2); return 1; end $$;
      create procedure committing() language plpgsql as $$ begin commit; insert into t values (3); end $$]]
  end)

  after_each(function() pg.drop(name) end)

  local function open()
    return reader.new(function()
      opened = opened + 1
      return db.connect(url)
    end)
  end

  it("R120 connects when it is first used, and once", function()
    local handle <close> = open()
    assert.equal(0, opened)
    assert.same({ 1, 1 }, { handle:value "select i from t", handle:row("select $1::int as a", 1).a })
    assert.equal(1, #handle:exec "select 1")
    assert.equal(1, opened)
  end)

  it("R120 changes nothing, whatever is tried", function()
    local handle <close> = open()
    for _, text in ipairs { "insert into t values (9)", "create table u ()", "select sly()", "call committing()",
      "set transaction read write", "begin read write", "commit", "commit and chain", "rollback and chain",
      "set default_transaction_read_only = off", "set session characteristics as transaction read write",
      "select set_config('transaction_read_only', 'off', false)", "delete from t", "truncate t",
      "do $$ begin commit; insert into t values (4); end $$", "select 1; insert into t values (5)",
      "copy t from stdin", "select 1 from t for update",
      "with x as (insert into t values (6) returning 1) select 1" } do
      pcall(handle.exec, handle, text)
      local ok, err = pcall(handle.exec, handle, "insert into t values (7)")
      assert.same({ false, "25006" }, { ok, err.sqlstate }, text)
    end
    assert.equal(1, value(url, "select count(*) from t"))
    assert.equal(1, handle:value "select count(*) from t")
  end)

  it("R120 keeps nothing that a statement sets", function()
    local handle <close> = open()
    handle:exec "set search_path = pg_catalog"
    assert.equal('"$user", public', handle:value "show search_path")
  end)

  it("R120 shows no way to its session", function()
    local handle <close> = open()
    handle:value "select 1"
    assert.is_nil(next(handle))
    assert.equal("reader", getmetatable(handle))
  end)
end)

describe("a pipeline", function()
  it("R120 gives the reader beside the session that may write, and opens it only for who asks", function()
    local url, dir = pg.database(), project.write {}
    local text = [[return pipeline { steps.wait {}, { name = "look", needs = { "reader" }, run = function(ctx)
      %s
      print(ctx.conn:value "select count(*) from pg_stat_activity where datname = current_database()")
    end } }]]
    assert.equal("1\n", run(url, dir, text:format "").stdout)
    local ran = run(url, dir, text:format 'print(ctx:need("reader"):value "select 41 + 1")')
    assert.equal("42\n2\n", ran.stdout, ran.stderr)
    ran = run(url, dir, text:format 'ctx:need("reader"):exec "create table x ()"')
    assert.equal(2, run(url, dir, 'return pipeline { { name = "look", needs = { "reader" }, run = print } }').code)
    assert.equal(1, ran.code)
    assert.matches("25006", ran.stderr, 1, true)
  end)

  it("R120 tells its policies facts, and gives them no session", function()
    local url, dir = pg.database(), project.write { { "0000_a", "create table a (i int);" } }
    local ran = run(url, dir, [[
      local function search(given, seen)
        if type(given) == "userdata" and given ~= db.null then return true end
        if type(given) ~= "table" or seen[given] then return false end
        seen[given] = true
        for _, item in pairs(given) do
          if search(item, seen) then return true end
        end
        return false
      end
      local function look(name) return function(...) print(name, search({ ... }, {})) return ... end end
      return pipeline { steps.wait {},
        steps.migrate { dir = ".", before = look "before", deployed = function(...) look "deployed" (...) end },
        steps.verify { dir = ".", policy = function(facts) look "verify" (facts) return {} end },
        { name = "control", run = look "control" } }]])
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("before\tfalse\n", ran.stdout, 1, true)
    assert.matches("verify\tfalse\n", ran.stdout, 1, true)
    assert.matches("control\ttrue\n", ran.stdout, 1, true)
  end)

  it("R116 fails over a table that a migration made and no policy knows", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (organization_id uuid); "
      .. "alter table a enable row level security; alter table a force row level security; "
      .. "create policy p on a using (organization_id is not null);" } }
    local text = [[return pipeline { steps.wait {}, steps.migrate { dir = "." }, steps.rls_audit {} }]]
    local ran = run(url, dir, text)
    assert.equal(0, ran.code, ran.stderr)
    project.write({ { "0000_a" }, { "0001_forgotten", "create table forgotten (id int, organization_id uuid);" } }, dir)
    ran = run(url, dir, text)
    assert.equal(1, ran.code)
    assert.matches("no-rls: public.forgotten has organization_id, but row-level security is off", ran.stderr, 1, true)
    assert.matches("no-policy: public.forgotten has no policy", ran.stderr, 1, true)
  end)

  it("R64 says which database it is on before it changes anything, without a password, refuses another", function()
    local url, name = pg.database()
    local dir = project.write { { "0000_a", "create table a (i int);" } }
    local secret = url:gsub("//postgres@", "//postgres:hunter2secret@")
    local ran = run(secret, dir, [[print(db.identity().database, db.identity().user, db.identity().superuser)
      return pipeline { steps.migrate { dir = ".", expect = { database = "shop" } } }]])
    assert.equal(2, ran.code)
    assert.matches(name .. "\tpostgres\ttrue\n", ran.stdout, 1, true)
    assert.matches(("the database is %s, but shop was expected"):format(name), ran.stderr, 1, true)
    assert.not_matches("hunter2secret", ran.stdout .. ran.stderr, 1, true)
    assert.is_false(value(url, "select to_regclass('a') is not null"))
    ran = run(secret, dir, ("return pipeline { steps.migrate { dir = '.', expect = { database = %q } } }"):format(name))
    assert.equal(0, ran.code)
    assert.matches(("database %s as postgres on .*, PostgreSQL %%d+.*, system %%d+"):format(name), ran.stderr)
  end)
end)

describe("migrate", function()
  it("R129 runs once at a time: a second job leaves with 5, says who holds the lock, and changes nothing", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (i int);" } }
    local conn <close> = db.connect(url, { application_name = "migrator job 1" })
    conn:exec("select pg_advisory_lock($1::int8)", tracking.new("drizzle", "__drizzle_migrations").key)
    local ran = cli.run { "migrate", "--dir", dir, "--url", url, "--wait", "0" }
    assert.equal(5, ran.code)
    assert.matches(("another run holds the lock: pid %d, migrator job 1"):format(conn:info().pid), ran.stderr, 1, true)
    assert.is_false(value(url, "select to_regclass('a') is not null"))
    conn:exec "select pg_advisory_unlock_all()"
    assert.equal(0, cli.run({ "migrate", "--dir", dir, "--url", url, "--wait", "0" }).code)
  end)

  describe("that fails", function()
    local GOOD, BAD = { "0000_a", "create table a (i int);" }, { "0001_b", "create table b (i int); select 1/0;" }
    local WAY = "https://runbook.example/restore"

    local function restore_line(list, ...)
      local ran = cli.run { "migrate", "--dir", project.write(list), "--url", pg.database(), ... }
      assert.equal(1, ran.code, ran.stderr)
      return ran.stderr:match("\n  restore: ([^\n]*)"), ran
    end

    it("R138 says the way back and where the log stood, when something of the run stays", function()
      local line = restore_line({ GOOD, BAD }, "--tx", "file", "--restore", WAY)
      assert.equal(WAY, line:match "^%S+")
      assert.matches(" %(to before this run: WAL position %x+/%x+, at %d+%-%d+%-%d+T[%d:.]+Z%)$", line)
      local _, ran = restore_line({ GOOD, BAD }, "--tx", "file", "--restore", WAY, "--json")
      assert.matches(WAY, cjson.decode(ran.stdout).failed.restore, 1, true)
    end)

    it("R138 says it of a file that stopped part way", function()
      local text = "create table a (i int); create index concurrently i on a (i); select 1/0;"
      assert.is_string(restore_line({ { "0000_a", text } }, "--restore", WAY))
    end)

    it("R138 says nothing of it when everything was rolled back, or no way is named", function()
      assert.is_nil(restore_line({ GOOD, BAD }, "--restore", WAY))
      assert.is_nil(restore_line({ GOOD, BAD }, "--tx", "file"))
    end)

    it("R138 takes it from steps.migrate and the project file too", function()
      local dir = project.write { GOOD, BAD }
      local ran = run(pg.database(), dir,
        'return pipeline { steps.migrate { dir = ".", tx = "file", restore = "call Ann" } }')
      assert.equal(1, ran.code)
      assert.matches("\n  restore: call Ann (to before this run: WAL position ", ran.stderr, 1, true)
      tmp.write(dir .. "/migrator.config.lua", 'return { restore = "call Bob", tx = "file" }')
      ran = cli.run { "migrate", "--dir", ".", cwd = dir, env = { DATABASE_URL = pg.database() } }
      assert.matches("restore: call Bob", ran.stderr, 1, true)
    end)
  end)
end)

describe("a script", function()
  it("says itself what its failure means", function()
    for code, exit in pairs { verify = 1, config = 2, http = 4, lock = 5 } do
      local ran = run("postgresql://h/d", tmp.dir {}, ([[return pipeline { steps = { function()
        error { code = %q, message = "it is not so", hint = "make it so" } end } }]]):format(code))
      assert.equal(exit, ran.code)
      assert.matches("^error: it is not so\n.*hint: make it so", ran.stderr)
    end
    assert.equal(2, run("postgresql://h/d", tmp.dir {}, 'error { code = "internal", message = "x" }').code)
    assert.equal(2, run("postgresql://h/d", tmp.dir {}, "error {}").code)
  end)

  it("is told which of its steps left a transaction open", function()
    local url = pg.database()
    local ran = run(url, tmp.dir {}, [[return pipeline { steps = {
      steps.secret { name = "DATABASE_URL", from = "env:DATABASE_URL" }, steps.wait {},
      { name = "mine", run = function(ctx) ctx.conn:exec "begin"; ctx.conn:exec "create table t (i int)" end } } }]])
    assert.equal(2, ran.code)
    assert.matches("error: the step left a transaction open, which was rolled back\n  step: mine", ran.stderr, 1, true)
    assert.equal(db.null, value(url, "select to_regclass('t')::text"))
  end)

  it("is told where io and os are", function()
    local ran = run("postgresql://h/d", tmp.dir {}, "return io.open('x')")
    assert.matches("hint: scripts have `fs`, `process` and `env`; --unsafe", ran.stderr, 1, true)
  end)
end)

describe("a setting that was misspelt in the environment", function()
  it("is named, with the one that was meant", function()
    local ran = cli.run { "status", env = { MIGRATOR_LOCKTIMEOUT = "3s", MIGRATOR_CONFIRM = "x",
      DATABASE_URL = "postgresql://127.0.0.1:1/d" }, cwd = tmp.dir {} }
    assert.matches("warning: the variable MIGRATOR_LOCKTIMEOUT is none of ours: did you mean MIGRATOR_LOCK_TIMEOUT?\n",
      ran.stderr, 1, true)
    assert.not_matches("CONFIRM", ran.stderr, 1, true)
  end)
end)
