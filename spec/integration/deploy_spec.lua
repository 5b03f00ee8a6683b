---What must never let a deploy through. A deploy job goes ahead when the run's step outputs say gate=pass: each of
---these runs is a whole pipeline on GitHub, and none of them says it.
local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local standby = require "spec.support.standby"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local ONE = { { "0000_a", "create table a (i int)" } }
local TWO = { ONE[1], { "0001_b", "create table b (i int)" } }

-- The order of scripts/pipeline.lua, with a gate; %s is what comes before all, and behind verify.
local ALL = [[return pipeline { deadline = "60s", steps = {
  %s
  steps.secret { name = "DATABASE_URL", from = "env:DATABASE_URL" },
  steps.wait { database = { every = "100ms", timeout = "10s" } },
  steps.migrate { lock_timeout = "5s", tries = 1, order = "linear" },
  steps.verify { policy = policy.verify.strict },
  %s
  steps.gate {},
  steps.report { "text", "github" },
} }]]

local function whole(before, behind) return ALL:format(before or "", behind or "") end

local function job(dir, url, more)
  local env = { DATABASE_URL = url, GITHUB_ACTIONS = "true", GITHUB_OUTPUT = dir .. "/out",
    GITHUB_STEP_SUMMARY = dir .. "/summary" }
  for name, value in pairs(more or {}) do env[name] = value end
  return env
end

local function outputs_of(dir) return fs.find(dir .. "/out") and fs.read(dir .. "/out") or "" end

---Runs a script as a job's step and gives what it left in the step's outputs.
local function run(url, script, list, more)
  local dir = tmp.dir { ["p.lua"] = script }
  project.write(list or TWO, dir .. "/migrations")
  local ran = cli.run { "p.lua", cwd = dir, env = job(dir, url, more) }
  return ran, outputs_of(dir)
end

local function refused(code, ran, outputs)
  assert.equal(code, ran.code, ran.stderr)
  assert.is_nil(outputs:find("gate=pass", 1, true), outputs)
end

local function passes(ran, outputs)
  assert.equal(0, ran.code, ran.stderr)
  assert.matches("\ngate=pass\n", "\n" .. outputs, 1, true)
end

local function has(url, name)
  local conn <close> = db.connect(url)
  return conn:value("select pg_catalog.to_regclass($1) is not null", name)
end

local function migrated(list)
  local url, name = pg.database("deploy")
  local ran = cli.run { "migrate", "--dir", project.write(list), "--url", url }
  assert.equal(0, ran.code, ran.stderr)
  return url, name
end

describe("a deploy", function()
  it("R126 goes ahead after a run that did all of it: the others here fail for what they say", function()
    passes(run(pg.database("deploy"), whole()))
  end)

  describe("behind a code-only push", function()
    local DETECT = 'steps.detect { paths = { "migrations/**" }%s },'
    local dir, count

    local function git(...)
      local ran = process.run { cmd = { "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c",
        "commit.gpgsign=false", ... }, cwd = dir }
      assert.equal(0, ran.code, ran.stderr)
      return (ran.stdout:gsub("%s+$", ""))
    end

    ---Commits these files and gives the environment of the push.
    local function push(files)
      count = count + 1
      local before = count > 1 and git("rev-parse", "HEAD") or ("0"):rep(40)
      for name, text in pairs(files) do tmp.write(dir .. "/" .. name, text) end
      git("add", "-A")
      git("commit", "-q", "-m", "push " .. count)
      tmp.write(dir .. "/.git/event.json", ('{"before": "%s", "after": "%s"}'):format(before, git("rev-parse", "HEAD")))
      return { GITHUB_EVENT_NAME = "push", GITHUB_EVENT_PATH = dir .. "/.git/event.json" }
    end

    local function step(url, event)
      fs.remove(dir .. "/out")
      local ran = cli.run { "p.lua", cwd = dir, env = job(dir, url, event) }
      return ran, outputs_of(dir)
    end

    ---A repository whose first push brought a migration.
    local function repository(list, options)
      dir, count = tmp.dir {}, 0
      git("init", "-q", "-b", "main")
      tmp.write(dir .. "/.gitignore", "out\nsummary\nlog\n")
      project.write(list, dir .. "/migrations")
      return push { ["p.lua"] = whole(DETECT:format(options or "")), ["app.ts"] = "1" }
    end

    it("R123 is not let through when the run before it failed: what the database lacks counts, not the diff", function()
      if not process.find "git" then return pending("needs git") end
      local url = pg.database("deploy")
      local first = repository { ONE[1], { "0001_b", "create table b (i int); select 1 / 0" } }
      refused(1, step(url, first))
      local ran, outputs = step(url, push { ["app.ts"] = "2" })
      refused(1, ran, outputs)
      assert.matches("info: unchanged: 0 of 1 changed file", ran.stderr, 1, true)
      assert.matches("gate=fail\n", outputs, 1, true)
      assert.is_false(has(url, "a"))
      passes(step(url, push { ["migrations/0001_b.sql"] = "create table b (i int)" }))
      passes(step(url, push { ["app.ts"] = "3" }))
    end)

    it("R123 R47 is let through only once the migration of a cancelled run is there", function()
      if not process.find "git" then return pending("needs git") end
      local url = pg.database("deploy")
      local first = repository(TWO)
      local blocker <close> = db.connect(url)
      blocker:script [[create schema drizzle;
        create table drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)]]
      blocker:exec "begin"
      blocker:exec "lock table drizzle.__drizzle_migrations"
      local child = cli.start { "p.lua", cwd = dir, env = job(dir, url, first), log = dir .. "/log" }
      wait.till(function()
        return pg.admin():value([[select count(*) > 0 from pg_stat_activity where datname = $1
          and wait_event_type = 'Lock']], url:match "([^/?]+)%?")
      end, 20)
      child:stop()
      assert.is_nil(outputs_of(dir):find("gate=pass", 1, true))
      blocker:exec "rollback"
      assert.is_false(has(url, "a"))
      local ran, outputs = step(url, push { ["app.ts"] = "2" })
      passes(ran, outputs)
      assert.matches("applied=2\n", outputs, 1, true)
      assert.is_true(has(url, "b"))
    end)

    it("R121 is not let through by git alone: a run that never asked the database says nothing", function()
      if not process.find "git" then return pending("needs git") end
      local url = pg.database("deploy")
      repository(TWO, ", database = false")
      local ran, outputs = step(url, push { ["app.ts"] = "2" })
      refused(0, ran, outputs)
      assert.matches("No migration/schema/seed changes detected --- skipping.\n", ran.stdout, 1, true)
      assert.is_nil(outputs:find("gate=", 1, true))
    end)
  end)

  it("R126 is not let through by a step that was skipped", function()
    local url = pg.database("deploy")
    local ran, outputs = run(url, whole 'function(ctx) ctx:stop "maintenance window" end,')
    refused(0, ran, outputs)
    assert.matches("maintenance window\n", ran.stdout, 1, true)
    assert.is_false(has(url, "a"))
    refused(2, run(url, whole "function() error 'no' end,"))
  end)

  it("R126 is not let through where the gate was left out and nothing else proved the database", function()
    local url = pg.database("deploy")
    for _, steps in ipairs { "steps.wait {}", 'steps.run { name = "upgrade", cmd = { "true" } }',
      "steps.gate {}, steps.report {}" } do
      local ran, outputs = run(url, ("return pipeline { %s, steps.report { 'github' } }"):format(steps))
      refused(steps:find("gate", 1, true) and 1 or 0, ran, outputs)
    end
    passes(run(migrated(TWO), "return pipeline { steps.gate {}, steps.report { 'github' } }"))
    local ran, outputs = run(url, "return pipeline { steps.migrate {} }")
    assert.same({ 0, "" }, { ran.code, outputs }) -- without a report nobody is told anything
  end)

  it("R126 is not let through by what was proven of a database that was emptied afterwards", function()
    local url = migrated(TWO)
    local conn <close> = db.connect(url)
    local ran, outputs = run(url, ("return pipeline { steps.migrate {}, steps.reset { confirm = 'reset %s' }, "
      .. "steps.report { 'github' } }"):format(conn:info().database), TWO, { NODE_ENV = "test" })
    refused(0, ran, outputs)
  end)

  it("R127 is not let through by staging's gate: what was proven of one database says nothing of another", function()
    local staging, production = migrated(TWO), pg.database("deploy")
    local script = [[return pipeline { steps = {
      steps.secret { name = "DATABASE_URL", from = "env:STAGING" }, %s {},
      steps.secret { name = "DATABASE_URL", from = "env:PRODUCTION" },
      %s
      steps.report { "github" },
    } }]]
    local env = { STAGING = staging, PRODUCTION = production }
    for _, proof in ipairs { "steps.gate", "steps.migrate" } do
      for _, rest in ipairs { "", "steps.wait {}," } do
        refused(0, run(staging, script:format(proof, rest), TWO, env))
      end
      local stopped = script:gsub("%%s {},", '%0 function(ctx) ctx:stop "maintenance" end,', 1)
      refused(0, run(staging, stopped:format(proof, "steps.migrate {}, steps.gate {},"), TWO, env))
      refused(1, run(staging, script:format(proof, "steps.gate {},"), TWO, env))
    end
    assert.is_false(has(production, "a"))
    passes(run(staging, script:format("steps.gate", "steps.migrate {}, steps.gate {},"), TWO, env))
    passes(run(staging, script:format("steps.gate", "steps.migrate {},"), TWO, env))
  end)

  it("R126 R77 is not let through by a read replica, however complete", function()
    local server = standby.start(true, function(url)
      assert.equal(0, cli.run({ "migrate", "--dir", project.write(TWO), "--url", url }).code)
    end)
    local all, all_outputs = run(server.url, whole())
    local gate, gate_outputs = run(server.url, "return pipeline { steps.gate {}, steps.report { 'github' } }")
    local there, there_outputs = run(server.primary, whole())
    server.stop()
    refused(2, all, all_outputs)
    refused(2, gate, gate_outputs)
    assert.matches("error: the server is a read-only standby", all.stderr, 1, true)
    assert.matches("error: the server is a read-only standby: what it has proves nothing", gate.stderr, 1, true)
    passes(there, there_outputs)
  end)

  it("R64 R126 is not let through by the wrong database: named by the script, marked, or another's", function()
    local url, name = migrated(TWO)
    local script = whole():gsub("steps.migrate {", "%0 expect = { database = 'shop' },")
    local ran, outputs = run(url, script)
    refused(2, ran, outputs)
    assert.matches(("the database is %s, but shop was expected"):format(name), ran.stderr, 1, true)

    assert.equal(0, cli.run({ "baseline", "--environment", "staging", "--url", url }).code)
    for _, text in ipairs { whole(), "return pipeline { steps.gate {}, steps.report { 'github' } }" } do
      ran, outputs = run(url, text, TWO, { NODE_ENV = "production" })
      refused(2, ran, outputs)
      assert.matches('marked "staging", but this run is for "production"', ran.stderr, 1, true)
    end

    local other = migrated { { "0000_theirs", "create table theirs (i int)" } }
    refused(1, run(other, whole()))
    refused(1, run(other, "return pipeline { steps.gate {}, steps.report { 'github' } }"))
    assert.is_false(has(other, "a"))
  end)

  it("R36 R126 is not let through by a journal that is behind", function()
    local url = migrated(TWO)
    local ran, outputs = run(url, whole(), ONE)
    refused(1, ran, outputs)
    assert.matches("error: Database has 2 migrations but local journal only has 1", ran.stderr, 1, true)
    assert.matches("gate=fail\n", outputs, 1, true)
    -- The code that needs a migration names it: a checkout that does not have it cannot answer for it.
    ran, outputs = run(url, "return pipeline { steps.gate { require = '0001_b' }, steps.report { 'github' } }", ONE)
    refused(2, ran, outputs)
    assert.matches('the journal has no migration "0001_b"', ran.stderr, 1, true)
  end)

  describe("whose verification raised", function()
    it("R109 is not let through, whatever raised it", function()
      for code, behind in pairs { [1] = [[steps.verify { policy = function(facts)
        return { { rule = "ours", severity = "error", message = #facts.rows .. " rows, and one is odd" } } end },]],
        [2] = "steps.verify { policy = function() error 'boom' end }," } do
        local url = pg.database("deploy")
        local ran, outputs = run(url, whole("", behind))
        refused(code, ran, outputs)
        assert.matches("gate=fail\n", outputs, 1, true)
        assert.is_true(has(url, "b")) -- the schema is in place; the code must wait
      end
      refused(2, run(pg.database("deploy"), whole("", "function() error 'smoke test' end,")))
    end)

    it("R109 is not let through when the script swallowed the error, unless it says why that is good", function()
      local swallow = [[(function()
        local odd = { { rule = "x", severity = "error", message = "odd" } }
        local step = steps.verify { policy = function() return odd end }
        return { name = "quiet", needs = { "dsn" }, run = function(ctx)
          local ok, err = pcall(step.run, ctx)
          %s
        end }
      end)(),]]
      local ran, outputs = run(pg.database("deploy"), whole("", swallow:format "assert(not ok and err)"))
      refused(1, ran, outputs)
      assert.matches("gate=fail\n", outputs, 1, true)
      assert.matches("error: odd\n", ran.stderr, 1, true)
      passes(run(pg.database("deploy"), whole("", swallow:format 'err.verdict:acknowledge "known, ticket 7"')))
    end)

    it("R109 R13 is not let through by one that always runs, before the report or behind it", function()
      local late = '{ name = "late", always = true, run = function() error "late" end },'
      for _, script in ipairs { whole("", late), (whole():gsub("%} %}$", late .. " } }")) } do
        local ran, outputs = run(pg.database("deploy"), script)
        refused(2, ran, outputs)
        assert.matches("gate=fail\n", outputs, 1, true)
      end
    end)
  end)

  it("R47 R48 is not let through by a run that was killed before its end", function()
    for _, signal in ipairs { "KILL", "TERM", "INT" } do
      local url = pg.database("deploy")
      local dir = tmp.dir { ["p.lua"] = whole("", [[function() fs.write("here", "") clock.sleep(60) end,]]) }
      project.write(TWO, dir .. "/migrations")
      local child = cli.start { "p.lua", cwd = dir, env = job(dir, url), log = dir .. "/log" }
      wait.till(function() return fs.find(dir .. "/here") end, 20)
      process.run { cmd = { "kill", "-" .. signal, tostring(child:pid()) } }
      child:wait()
      assert.is_nil(outputs_of(dir):find("gate=pass", 1, true))
      if signal ~= "KILL" then assert.matches("gate=fail\n", outputs_of(dir), 1, true) end
      assert.is_true(has(url, "b"))
      child:stop()
    end
  end)
end)
