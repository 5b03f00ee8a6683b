local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

describe("repeatable scripts", function()
  local dir, url, name, conn

  before_each(function()
    url, name = pg.database()
    conn = db.connect(url)
    dir = tmp.dir {}
    project.write({ { "0000_note", "create table note (id int, body text);" } }, dir .. "/migrations")
    tmp.write(dir .. "/policies/10_view.sql", "create or replace view n as select id from note;\n"
      .. "--> statement-breakpoint\ncreate table if not exists runs (n text); insert into runs values ('view');\n")
    tmp.write(dir .. "/policies/sub/20_grant.sql", "insert into runs values ('grant');\n")
  end)

  after_each(function()
    conn:close()
    pg.drop(name)
  end)

  local function migrate(...)
    return cli.run { "migrate", "--repeatable", "policies", "--url", url, cwd = dir, ... }
  end

  local function pipeline(text)
    tmp.write(dir .. "/p.lua", text)
    return cli.run { "p.lua", cwd = dir, env = { DATABASE_URL = url } }
  end

  local function runs()
    return conn:value "select coalesce(string_agg(n, ' ' order by ctid), '') from runs"
  end

  it("run behind the migrations, and again only when their text changes (R112)", function()
    local first = migrate()
    assert.same({ 0, "" }, { first.code, cli.said(first) })
    assert.matches("Applied 1 new migration(s).\nVerified: database has all 1 migrations.\n"
      .. "Repeatable: ran policies/10_view.sql (new)\nRepeatable: ran policies/sub/20_grant.sql (new)\n"
      .. "Repeatable scripts: 2 ran, 0 unchanged.\n", first.stdout, 1, true)
    assert.matches("Repeatable scripts: 0 ran, 2 unchanged.", migrate().stdout, 1, true)
    assert.equal("view grant", runs())
    tmp.write(dir .. "/policies/sub/20_grant.sql", "insert into runs values ('again');\r\n")
    assert.matches("ran policies/sub/20_grant.sql (changed)", migrate().stdout, 1, true)
    assert.equal("view grant again", runs())
    tmp.write(dir .. "/policies/sub/20_grant.sql", "insert into runs values ('again');\n")
    assert.matches("Repeatable scripts: 0 ran, 2 unchanged.", migrate().stdout, 1, true)
  end)

  it("are recorded apart from Drizzle's table, which stays as Drizzle made it", function()
    migrate()
    assert.equal(1, conn:value "select count(*) from drizzle.__drizzle_migrations")
    local rows = conn:exec "select path, length(hash) as n, at <= now() as past from migrator.repeatable order by path"
    assert.same({ { path = "policies/10_view.sql", n = 64, past = true },
      { path = "policies/sub/20_grant.sql", n = 64, past = true } }, { rows[1], rows[2] })
  end)

  it("touch nothing when none are asked for", function()
    assert.equal(0, cli.run({ "migrate", "--url", url, cwd = dir }).code)
    assert.is_nil(conn:row "select 1 from pg_namespace where nspname = 'migrator'")
    assert.not_matches("epeatable", cli.run({ "status", "--url", url, cwd = dir }).stdout)
  end)

  it("stop at the first that fails, with its place, rolled back whole; the next run goes on there", function()
    tmp.write(dir .. "/policies/sub/20_grant.sql",
      "insert into runs values ('grant');\n\nselect id,\n  nope from note;\n")
    local ran = migrate()
    assert.equal(1, ran.code)
    assert.matches('policies/sub/20_grant.sql:4:3: column "nope" does not exist', ran.stderr, 1, true)
    assert.matches("nope from note;", ran.stderr, 1, true)
    assert.equal("view", runs())
    assert.equal(1, conn:value "select count(*) from migrator.repeatable")
    tmp.write(dir .. "/policies/sub/20_grant.sql", "insert into runs values ('mended');\n")
    assert.equal(0, migrate().code)
    assert.equal("view mended", runs())
  end)

  it("name the file when the commit is what fails", function()
    tmp.write(dir .. "/policies/30.sql", [[create table a (id int primary key);
create table b (a int references a deferrable initially deferred); insert into b values (1);]])
    local ran = migrate()
    assert.equal(1, ran.code)
    assert.matches("policies/30.sql: insert or update on table", ran.stderr, 1, true)
    assert.is_nil(conn:row "select 1 from pg_class where relname = 'a'")
  end)

  it("are refused before anything runs when they cannot be one transaction", function()
    for text, place in pairs { ["select 1;\n  commit;"] = "2:3: a repeatable script is one transaction: COMMIT",
      ["create index concurrently i on note (id)"] = "1:1: CREATE cannot run in a transaction",
      ["set search_path = x"] = "1:1: SET would outlive the script",
      ["set transaction_timeout = 1"] = "1:1: SET would outlive the script",
      ["select 'a"] = "1:8: a quote is not closed" } do
      tmp.write(dir .. "/policies/10_view.sql", text)
      local ran = migrate()
      assert.equal(2, ran.code)
      assert.matches("policies/10_view.sql:" .. place, ran.stderr, 1, true)
    end
    assert.is_nil(conn:row "select 1 from pg_class where relname = 'note'")
  end)

  it("may change their role and their own settings", function()
    tmp.write(dir .. "/policies/10_view.sql",
      "set local role pg_monitor; set local search_path = pg_catalog; select 1;")
    tmp.write(dir .. "/policies/sub/20_grant.sql", "create table runs as select current_user::text as n;")
    assert.equal(0, migrate().code)
    assert.equal("postgres", runs())
  end)

  it("say once that one is gone, and run it when it comes back", function()
    migrate()
    local text = fs.read(dir .. "/policies/sub/20_grant.sql")
    fs.remove(dir .. "/policies/sub/20_grant.sql")
    local status = cli.run { "status", "--json", "--url", url, "--repeatable", "policies", cwd = dir }
    assert.same({ { path = "policies/10_view.sql", state = "unchanged" },
      { path = "policies/sub/20_grant.sql", state = "removed" } }, cjson.decode(status.stdout).repeatable)
    assert.matches("policies/sub/20_grant.sql is gone; what it made stays", migrate().stderr, 1, true)
    assert.equal("", cli.said(migrate()))
    tmp.write(dir .. "/policies/sub/20_grant.sql", text)
    assert.matches("20_grant.sql (new)", migrate().stdout, 1, true)
  end)

  it("are in `status`, and pending ones count for --check", function()
    migrate()
    tmp.write(dir .. "/policies/10_view.sql", "create or replace view n as select id, body from note")
    local ran = cli.run { "status", "--check", "--url", url, cwd = dir }
    assert.equal(10, ran.code)
    assert.matches("Repeatable scripts: 2, 1 to run", ran.stdout, 1, true)
    assert.matches("changed +policies/10_view.sql", ran.stdout)
    assert.not_matches("20_grant", ran.stdout)
    assert.equal(0, migrate().code)
    assert.equal(0, cli.run({ "status", "--check", "--url", url, cwd = dir }).code)
  end)

  it("are not what a folder of the same name has that was never run as such", function()
    tmp.write(dir .. "/policies/10_view.sql", "set role nobody; vacuum")
    local ran = cli.run { "status", "--url", url, cwd = dir }
    assert.equal(0, ran.code, ran.stderr)
    assert.not_matches("policies", ran.stdout .. ran.stderr, 1, true)
  end)

  it("stay out of a rehearsal", function()
    assert.equal(0, migrate("--rehearse").code)
    assert.is_nil(conn:row "select 1 from pg_namespace where nspname = 'migrator'")
  end)

  it("of another tracking table are another's", function()
    migrate()
    local other = migrate("--table", "others", "--baseline", "run")
    assert.matches("already exists", other.stderr, 1, true)
    conn:script "drop view n; drop table note"
    other = migrate("--table", "others", "--baseline", "run")
    assert.matches("Repeatable scripts: 2 ran, 0 unchanged.", other.stdout, 1, true)
    assert.equal(4, conn:value "select count(*) from migrator.repeatable")
  end)

  it("refuse a folder that is not there", function()
    local ran = migrate("--repeatable", "nowhere")
    assert.same({ 2, true }, { ran.code, ran.stderr:find("no folder of repeatable scripts: nowhere", 1, true) ~= nil })
  end)

  describe("steps.repeatable", function()
    it("takes the folder of our name, in the run's lock, and gives what ran", function()
      local ran = pipeline [[return pipeline { steps.wait {}, steps.migrate {}, steps.repeatable {},
        function(ctx) log.print(ctx:find("repeatable").ran[2].path) end }]]
      assert.equal(0, ran.code)
      assert.matches("\npolicies/sub/20_grant.sql\n", ran.stdout, 1, true)
      local key = conn:value("select ('x' || substr(encode(sha256('migrator:\"drizzle\".\"__drizzle_migrations\"'),"
        .. " 'hex'), 1, 16))::bit(64)::int8")
      conn:exec("select pg_advisory_lock($1)", key)
      ran = pipeline [[return pipeline { steps.repeatable { dir = "policies", always = true, wait = "100ms" } }]]
      assert.equal(5, ran.code)
      conn:exec("select pg_advisory_unlock($1)", key)
      assert.equal(0, pipeline([[return pipeline { steps.repeatable { always = true } }]]).code)
      assert.equal("view grant view grant", runs())
    end)

    it("waits for locks as long as it is told, and tries again", function()
      migrate()
      local other <close> = db.connect(url)
      other:exec "begin"
      other:exec "lock table note in access exclusive mode"
      tmp.write(dir .. "/policies/10_view.sql", "lock table note in access share mode")
      local ran = pipeline [[return pipeline { steps.wait {}, steps.repeatable { lock_timeout = "50ms", tries = 2 } }]]
      assert.matches("trying again in", ran.stderr, 1, true)
      assert.matches("policies/10_view.sql:1:1: canceling statement due to lock timeout", ran.stderr, 1, true)
      assert.equal(5, ran.code)
      other:exec "rollback"
    end)

    it("reads every script before the first step acts", function()
      tmp.write(dir .. "/policies/10_view.sql", "commit")
      assert.equal(2, pipeline([[return pipeline { steps.migrate {}, steps.repeatable {} }]]).code)
      assert.is_nil(conn:row "select 1 from pg_class where relname = 'note'")
    end)
  end)
end)
