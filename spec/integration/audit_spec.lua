local audit = require "migrator.audit"
local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local errors = require "migrator.error"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local sql = require "migrator.core.sql"
local tmp = require "spec.support.tmp"

local TWO = { { "0000_a", "create table a (i int primary key)" }, { "0001_b", "create table b (i int)" } }
local SEEDS = { ["seeds/ref/tier.lua"] = 'return { order = 1, environments = "all", idempotent = true }',
  ["seeds/ref/10_a.csv"] = "i\n1\n2\n" }

---A project's folder, its database and a session of ours.
local function make(files, list)
  local dir = tmp.dir(files or SEEDS)
  project.write(list or TWO, dir .. "/migrations")
  local url, name = pg.database("audit")
  return { dir = dir, url = url, name = name }
end

local function run(it, ...)
  local options = { cwd = it.dir, env = { DATABASE_URL = it.url, NODE_ENV = "test" }, ... }
  for key, value in pairs(it.env or {}) do options.env[key] = value end
  return cli.run(options)
end

local function rows(it)
  local conn <close> = db.connect(it.url)
  return audit.history(conn, 100)
end

local function exec(it, text)
  local conn <close> = db.connect(it.url)
  return conn:script(text)
end

local function value(it, text)
  local conn <close> = db.connect(it.url)
  return conn:value(text)
end

local function names(row)
  local out = {}
  for i, item in ipairs(row.applied) do out[i] = item.kind .. " " .. item.name end
  return out
end

describe("the audit trail", function()
  local GITHUB = { GITHUB_ACTOR = "ada", GITHUB_SHA = "0123456789abcdef0123456789abcdef01234567", CI = "true",
    GITHUB_SERVER_URL = "https://github.example", GITHUB_REPOSITORY = "shop/db", GITHUB_RUN_ID = "42" }

  it("R81 is off by default: no schema, no table, no round trip more", function()
    local it = make()
    local off = run(it, "migrate", "--json")
    assert.equal(0, off.code, off.stderr)
    assert.equal(0, value(it, "select count(*) from pg_namespace where nspname = 'migrator'"))
    assert.is_nil(rows(it))
    local on = run(make(), "migrate", "--json", "--audit")
    assert.equal(cjson.decode(off.stdout).round_trips, cjson.decode(on.stdout).round_trips)
  end)

  it("R81 has who, when, which commit, what and how long; and nothing outside of our schema", function()
    local it = make()
    it.env = GITHUB
    assert.equal(0, run(it, "migrate", "--audit").code)
    local found = rows(it)
    assert.equal(1, #found)
    local row = found[1]
    assert.same({ "migrate", "ok", "postgres", "ada", GITHUB.GITHUB_SHA,
      "https://github.example/shop/db/actions/runs/42", "test" },
      { row.command, row.result, row.db_user, row.actor, row.commit, row.ci_url, row.environment })
    assert.same({ "migration 0000_a", "migration 0001_b" }, names(row))
    assert.equal("integer", math.type(row.applied[1].ms))
    assert.matches("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$", row.run)
    assert.is_true(row.duration_ms >= 0)
    assert.is_nil(row.error)
    assert.equal("id,hash,created_at", value(it, [[select string_agg(attname, ',' order by attnum)
      from pg_attribute where attrelid = 'drizzle.__drizzle_migrations'::regclass and attnum > 0]]))
    assert.equal("drizzle,migrator,public", value(it, [[select string_agg(nspname, ',' order by nspname)
      from pg_namespace where nspname !~ '^pg_|information_schema']]))
  end)

  it("R81 names every migration of a run of many", function()
    local list = {}
    for i = 1, 150 do list[i] = { ("%04d_one_of_very_many_migrations"):format(i), "select 1" } end
    local it = make({}, list)
    assert.equal(0, run(it, "migrate", "--audit").code)
    assert.equal(150, #names(rows(it)[1]))
  end)

  it("R81 is written by a user who may not create schemas, where ours is there", function()
    local it = make()
    local role = it.name .. "_r"
    exec(it, ("create role %s login; create schema migrator; create schema drizzle authorization %s; "
      .. "grant usage, create on schema migrator, public to %s"):format(role, role, role))
    local ran = run(it, "migrate", "--audit", "--url", (it.url:gsub("//[^@/]*@", "//" .. role .. "@")))
    local found = rows(it)
    exec(it, ("drop owned by %s; drop role %s"):format(role, role))
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(role, found[1].db_user)
  end)

  it("R81 takes GitLab's words, and without CI the login of this machine", function()
    local gitlab = { GITLAB_USER_LOGIN = "bob", CI_COMMIT_SHA = "abc", CI_JOB_URL = "https://gitlab.example/j/1" }
    assert.equal("bob", audit.actor(gitlab))
    assert.equal("https://gitlab.example/j/1", audit.ci_url(gitlab))
    assert.matches("^eve@.+", audit.actor { USER = "eve" })
    assert.matches("^uid %d+@.+", audit.actor {})
    assert.equal("root", audit.actor { GITHUB_ACTOR = "ada", GITHUB_TRIGGERING_ACTOR = "root" })
  end)

  it("R81 leaves no row of a run that did nothing, unless all are wanted", function()
    local it = make()
    for _ = 1, 2 do assert.equal(0, run(it, "migrate", "--audit").code) end
    assert.equal(1, #rows(it))
    it.env = { MIGRATOR_AUDIT = "all" }
    assert.equal(0, run(it, "migrate").code)
    assert.same({ 2, {} }, { #rows(it), names(rows(it)[1]) })
    it.env = nil
    assert.equal(0, run(it, "seed", "--audit").code)
    assert.equal(0, run(it, "seed", "--audit").code)
    assert.same({ 3, { "tier ref" } }, { #rows(it), names(rows(it)[1]) })
  end)

  it("R81 is on by the project's file too, and a word that it does not know is refused", function()
    local it = make()
    tmp.write(it.dir .. "/migrator.config.lua", "return { audit = true }")
    assert.equal(0, run(it, "migrate").code)
    assert.equal(1, #rows(it))
    tmp.write(it.dir .. "/migrator.config.lua", 'return { audit = "sometimes" }')
    local ran = run(it, "migrate")
    assert.equal(2, ran.code)
    assert.matches("audit wants true or false or all, got \"sometimes\"", ran.stderr, 1, true)
  end)

  it("R81 tells of a run that failed, with its error, what stayed, and no secret", function()
    local it = make(SEEDS, { TWO[1], { "0001_b", "select 'tok-9f8e7d6c'::int" } })
    it.env = { MIGRATOR_TX = "file", MIGRATOR_AUDIT = "true" }
    tmp.write(it.dir .. "/p.lua", 'mask "tok-9f8e7d6c"\nreturn pipeline { steps = { steps.migrate {} } }')
    local ran = run(it, "p.lua")
    assert.equal(1, ran.code, ran.stderr)
    local row = rows(it)[1]
    assert.same({ "failed", { "migration 0000_a" } }, { row.result, names(row) })
    assert.matches("migrations/0001_b.sql:1:", row.error, 1, true)
    assert.matches("***", row.error, 1, true)
    assert.not_matches("tok-9f8e7d6c", row.error, 1, true)
  end)

  it("R81 tells of baseline, repair, marker and seeds that fail, but not of a refused confirmation", function()
    local it = make()
    it.env = { MIGRATOR_AUDIT = "1" }
    assert.equal(2, run(it, "baseline", "0000_a", "--confirm", "no").code)
    assert.is_nil(rows(it))
    assert.equal(0, run(it, "baseline", "0000_a", "--confirm", "baseline " .. it.name).code)
    assert.same({ "baseline", { "migration 0000_a" } }, { rows(it)[1].command, names(rows(it)[1]) })
    assert.equal(0, run(it, "baseline", "--environment", "test").code)
    assert.same({ "environment test" }, names(rows(it)[1]))
    exec(it, "update drizzle.__drizzle_migrations set hash = 'x'")
    assert.equal(0, run(it, "repair", "--accept", "0000_a", "--confirm", "repair " .. it.name).code)
    assert.equal("repair", rows(it)[1].command)
    assert.equal(0, run(it, "migrate").code)
    assert.equal(1, run(it, "seed").code) -- the table was never made
    local row = rows(it)[1]
    assert.same({ "seed", "failed", {} }, { row.command, row.result, row.applied })
    assert.equal(5, #rows(it))
  end)

  it("R81 is append-only: no UPDATE, DELETE or TRUNCATE, not even as a replica does it", function()
    local it = make()
    assert.equal(0, run(it, "migrate", "--audit").code)
    for _, text in ipairs { "update migrator.audit set actor = 'x'", "delete from migrator.audit where false",
      "truncate migrator.audit", "set session_replication_role = replica; delete from migrator.audit" } do
      local ok, err = pcall(exec, it, text)
      assert.is_false(ok, text)
      assert.equal("42501", err.sqlstate)
    end
    assert.equal(1, #rows(it))
  end)

  it("R81 never hides how the run ended: what cannot be written is a warning", function()
    local it = make()
    exec(it, "create schema migrator; create table migrator.audit (something int)")
    local ran = run(it, "migrate", "--audit")
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("warning: the audit trail has no row of this run: ", ran.stderr, 1, true)
    local said = {}
    local conn <close> = db.connect(it.url)
    conn:close()
    local trail = audit.start({ audit = true, environment = {} }, { command = "migrate",
      emit = function(name) said[#said + 1] = name end })
    trail:write(conn, { applied = {}, error = "x" })
    assert.same({ "warning" }, said)
  end)

  it("R81 tells of a run that lost its connection, over the one that asked what became of it", function()
    local it = make(SEEDS, { TWO[1], { "0001_b", "select pg_terminate_backend(pg_backend_pid())" } })
    local ran = run(it, "migrate", "--audit")
    assert.equal(4, ran.code, ran.stderr)
    assert.same({ "failed", {} }, { rows(it)[1].result, rows(it)[1].applied })
  end)

  it("R81 is written although the run's own deadline is over", function()
    local it = make(SEEDS, { { "0000_a", "select pg_sleep(20)" } })
    local ran = run(it, "migrate", "--audit", "--deadline", "1s")
    assert.equal(4, ran.code, ran.stderr)
    assert.equal("failed", rows(it)[1].result)
    tmp.write(it.dir .. "/p.lua", [[return pipeline { deadline = "1s", steps = { steps.migrate { audit = true } } }]])
    assert.equal(4, run(it, "p.lua").code)
    assert.equal(2, #rows(it))
  end)

  it("R81 has no row of a rehearsal, and one each of a pipeline's steps", function()
    local it = make()
    assert.equal(0, run(it, "migrate", "--audit", "--rehearse").code)
    assert.is_nil(rows(it))
    tmp.write(it.dir .. "/p.lua", [[return pipeline { steps = { steps.wait {}, steps.migrate { audit = true },
      steps.seed { audit = true } } }]])
    local ran = run(it, "p.lua")
    assert.equal(0, ran.code, ran.stderr)
    local found = rows(it)
    assert.same({ "seed", "migrate" }, { found[1].command, found[2].command })
    tmp.write(it.dir .. "/p.lua", "return pipeline { steps = { steps.migrate { audit = 3 } } }")
    assert.matches("audit wants a boolean or string", run(it, "p.lua").stderr, 1, true)
  end)

  it("R81 keeps a text that is no UTF-8, or that the database cannot hold", function()
    local conn <close> = db.connect(pg.server().url)
    local name = "migrator_test_latin_" .. require("migrator.core.hash").random_hex(3)
    conn:exec(("create database %s template template0 encoding 'LATIN1' locale 'C'"):format(sql.quote_ident(name)))
    local it = { url = pg.server():url_of(name) }
    local session <close> = db.connect(it.url)
    local said = {}
    local trail = audit.start({ audit = true, environment = { GITHUB_ACTOR = "Žofie\0\255" },
      environment_variable = "NODE_ENV" }, { command = "migrate", emit = function(_, data) said[#said + 1] = data end })
    trail:write(session, { applied = { { kind = "migration", name = "0000_ž" } }, error = ("ž"):rep(9000) })
    assert.same({}, said)
    assert.equal("failed", rows(it)[1].result)
    session:close()
    pg.drop(name)
  end)
end)

describe("migrator status --history", function()
  it("R81 prints the newest rows, the newest first, and the same as JSON", function()
    local it = make()
    local ran = run(it, "status", "--history", "5")
    assert.same({ 0, true }, { ran.code, ran.stdout:find("No audit trail", 1, true) == 1 })
    it.env = { GITHUB_ACTOR = "ada" }
    assert.equal(0, run(it, "migrate", "--audit").code)
    assert.equal(0, run(it, "seed", "--audit").code)
    ran = run(it, "status", "--history", "5")
    assert.equal(0, ran.code, ran.stderr)
    local first, second, third = ran.stdout:match("^([^\n]*)\n([^\n]*)\n([^\n]*)\n$")
    assert.matches("^finished %(UTC%)%s+command%s+result", first)
    assert.matches("^%d+%-%d+%-%d+ [%d:]+%s+seed%s+ok%s+%d+ ms%s+ada%s+postgres%s+%-%s+ref$", second)
    assert.matches("0000_a, 0001_b$", third)
    local document = cjson.decode(run(it, "status", "--history", "1", "--json").stdout)
    assert.same({ 1, "seed", "ada" }, { #document.history, document.history[1].command, document.history[1].actor })
    tmp.write(it.dir .. "/migrations/meta/_journal.json", "{ broken")
    assert.equal(0, run(it, "status", "--history", "1").code)
  end)

  it("refuses what is no number, and company", function()
    local it = make()
    for _, words in ipairs { { "status", "--history", "x" }, { "status", "--history", "0" },
      { "status", "--history", "1", "--check" } } do
      assert.equal(2, run(it, table.unpack(words)).code)
    end
  end)
end)

describe("audit.around", function()
  it("passes an error on as it was", function()
    local err = errors.new("lock", "busy")
    local conn <close> = db.connect((pg.database("around")))
    local config = { audit = true, environment = {}, environment_variable = "NODE_ENV" }
    local ok, raised = pcall(audit.around, config, { command = "seed", conn = conn, list = audit.of_seeds },
      function() error(err, 0) end)
    assert.same({ false, true }, { ok, rawequal(err, raised) })
    assert.same({ "failed", "busy", "production" }, { audit.history(conn, 1)[1].result, audit.history(conn, 1)[1].error,
      audit.history(conn, 1)[1].environment })
  end)
end)
