local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local server = require "spec.support.http"
local tmp = require "spec.support.tmp"

local THREE = { { "0000_a", "create table a (i int)" }, { "0001_b", "create table b (i int)" },
  { "0002_c", "create table c (i int)" } }

local function gate(url, dir, ...) return cli.run { "gate", "--dir", dir, "--url", url, ... } end

local function migrate(url, list, ...)
  local ran = cli.run { "migrate", "--dir", project.write(list), "--url", url, ... }
  assert.equal(0, ran.code, ran.stderr)
end

local function document(ran) return cjson.decode(ran.stdout) end

describe("gate", function()
  it("R126 is open when the database has every migration of this checkout", function()
    local url = pg.database()
    migrate(url, THREE)
    local ran = gate(url, project.write(THREE))
    assert.same({ 0, "" }, { ran.code, ran.stderr })
    assert.matches("^Gate: open, the database %S+ has 0002_c and all before it %(3 migrations%)%.\n$", ran.stdout)
  end)

  it("R126 is closed with 1 for a database that is behind, and names what is missing", function()
    local url = pg.database()
    migrate(url, { THREE[1] })
    local ran = gate(url, project.write(THREE))
    assert.equal(1, ran.code)
    assert.matches("lacks 2 of the 3 migrations that this code needs: 0001_b (pending), 0002_c (pending)", ran.stderr,
      1, true)
    assert.matches("run `migrator migrate`", ran.stderr, 1, true)
  end)

  it("R126 is closed for an empty database, and leaves it empty", function()
    local url = pg.database()
    assert.equal(1, gate(url, project.write(THREE)).code)
    local conn <close> = db.connect(url)
    assert.equal(0, conn:value [[select count(*) from pg_namespace where nspname in ('drizzle', 'migrator')]])
  end)

  it("R126 needs no more than the tag that is asked for", function()
    local url = pg.database()
    migrate(url, { THREE[1], THREE[2] })
    local dir = project.write(THREE)
    assert.equal(0, gate(url, dir, "--require", "0001_b").code)
    assert.equal(1, gate(url, dir, "--require", "0002_c").code)
  end)

  it("R126 is closed when one before the required one is missing", function()
    local url = pg.database()
    local late = { "0001_b", "create table b (i int)", when = project.T - 5 }
    migrate(url, { THREE[1], { "0002_c", THREE[3][2], when = project.T + 9 } })
    local dir = project.write { THREE[1], late, { "0002_c", THREE[3][2], when = project.T + 9 } }
    local ran = gate(url, dir, "--require", "0002_c")
    assert.equal(1, ran.code)
    assert.matches("0001_b (stranded)", ran.stderr, 1, true)
  end)

  it("R126 is closed when a file is not what was applied", function()
    local url = pg.database()
    migrate(url, THREE)
    local ran = gate(url, project.write { THREE[1], { "0001_b", "create table b (i bigint)" }, THREE[3] })
    assert.equal(1, ran.code)
    assert.matches("0001_b (edited)", ran.stderr, 1, true)
    assert.matches("repair", ran.stderr, 1, true)
  end)

  it("R126 is closed for a journal that is behind the database, unless it is meant", function()
    local url, behind = pg.database(), project.write { THREE[1], THREE[2] }
    migrate(url, THREE)
    local ran = gate(url, behind)
    assert.equal(1, ran.code, ran.stderr)
    assert.matches("has 1 migration(s) that this checkout does not know", ran.stderr, 1, true)
    for _, meant in ipairs { { "--require", "0001_b" }, { "--missing", "allow" } } do
      ran = gate(url, behind, table.unpack(meant))
      assert.equal(0, ran.code, ran.stderr)
      assert.matches("has 0001_b and all before it (2 migrations), and 1 that this checkout does not know",
        ran.stdout, 1, true)
    end
  end)

  it("R126 exits 2 for a tag that the journal lacks, without a connection", function()
    local ran = gate("postgres://nobody@127.0.0.1:1/none", project.write(THREE), "--require", "0001_bb")
    assert.equal(2, ran.code)
    assert.matches('did you mean "0001_b"?', ran.stderr, 1, true)
  end)

  it("R126 exits 2 without a journal and 4 without a server", function()
    assert.equal(2, gate("postgres://nobody@127.0.0.1:1/none", tmp.dir {}).code)
    assert.equal(4, gate("postgres://nobody@127.0.0.1:1/none", project.write(THREE)).code)
  end)

  it("R126 takes one round trip, no lock, and needs no right to write", function()
    local url, name = pg.database()
    migrate(url, THREE)
    local conn <close> = db.connect(url)
    local tracking = require("migrator.tracking").new("drizzle", "__drizzle_migrations")
    conn:exec("select pg_advisory_lock($1::int8)", tracking.key)
    local role = name .. "_reader"
    conn:exec(("create role %s login"):format(role))
    conn:exec(("grant usage on schema drizzle to %s"):format(role))
    conn:exec(("grant select on drizzle.__drizzle_migrations to %s"):format(role))
    conn:exec(("alter role %s set default_transaction_read_only = on"):format(role))
    local there = url:gsub("//[^@/]*@", "//" .. role .. "@")
    local ran = gate(there, project.write(THREE), "--json")
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(1, document(ran).round_trips)
    conn:exec(("drop owned by %s"):format(role))
    conn:exec(("drop role %s"):format(role))
  end)

  it("R126 is not kept from looking by a schema of ours that it may not use", function()
    local url, name = pg.database()
    migrate(url, THREE)
    local conn <close> = db.connect(url)
    conn:script(("create schema migrator; create table migrator.progress (); create role %s_r login; "
      .. "grant usage on schema drizzle to %s_r; grant select on drizzle.__drizzle_migrations to %s_r"):format(name,
      name, name))
    local ran = gate(url:gsub("//[^@/]*@", "//" .. name .. "_r@"), project.write(THREE))
    assert.equal(0, ran.code, ran.stderr)
    conn:script(("drop owned by %s_r; drop role %s_r"):format(name, name))
  end)

  it("R126 R125 tells a runner on GitHub, whatever becomes of it", function()
    local url = pg.database()
    migrate(url, { THREE[1] })
    local function outputs(target, ...)
      local path = tmp.dir {} .. "/out"
      cli.run { "gate", "--dir", project.write(THREE), "--url", target, ...,
        env = { GITHUB_ACTIONS = "true", GITHUB_OUTPUT = path } }
      return fs.read(path)
    end
    assert.equal("changed=true\napplied=1\npending=2\ngate=fail\n", outputs(url))
    assert.equal("gate=fail\n", outputs("postgres://nobody@127.0.0.1:1/none"))
    migrate(url, THREE)
    assert.equal("changed=false\napplied=3\npending=0\ngate=pass\n", outputs(url))
  end)

  it("keeps standard output one document", function()
    local url = pg.database()
    migrate(url, { THREE[1] })
    local ran = cli.run { "gate", "--dir", project.write(THREE), "--url", url, "--json",
      env = { GITHUB_ACTIONS = "true" } }
    local found = document(ran)
    assert.same({ 1, false, "0002_c", 3, 1, { "0001_b", "0002_c" }, "verify" }, { ran.code, found.ok, found.required,
      found.needed, found.applied, found.pending, found.failed.code })
  end)
end)

---Runs a pipeline as on GitHub and returns what it left in the step's outputs.
local function pipeline(url, steps, list)
  local dir = tmp.dir { ["p.lua"] = "return pipeline { " .. steps .. ' steps.report { "github" } }' }
  project.write(list or THREE, dir .. "/migrations")
  local ran = cli.run { "p.lua", cwd = dir, env = { DATABASE_URL = url, GITHUB_ACTIONS = "true",
    GITHUB_OUTPUT = dir .. "/out", GITHUB_STEP_SUMMARY = dir .. "/summary" } }
  return ran, fs.find(dir .. "/out") and fs.read(dir .. "/out") or ""
end

describe("steps.gate", function()
  it("R126 R125 says pass after a migration, on a connection of its own", function()
    local ran, outputs = pipeline(pg.database(), "steps.migrate {}, steps.gate {},")
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("Gate: open", ran.stdout, 1, true)
    assert.equal("changed=true\napplied=3\npending=0\ngate=pass\n", outputs)
  end)

  it("R126 R125 says fail, and ends the run, when the database is behind", function()
    local ran, outputs = pipeline(pg.database(), "steps.gate {},")
    assert.equal(1, ran.code)
    assert.equal("changed=true\napplied=0\npending=3\ngate=fail\n", outputs)
  end)

  it("R125 the same outputs come from steps.migrate alone", function()
    local url = pg.database()
    local _, outputs = pipeline(url, "steps.migrate {},")
    assert.equal("changed=true\napplied=3\npending=0\ngate=pass\n", outputs)
    _, outputs = pipeline(url, "steps.migrate {},")
    assert.equal("changed=false\napplied=0\npending=0\ngate=pass\n", outputs)
  end)

  it("R126 R125 a run that fails before, within or behind the migration never says pass", function()
    local bad = { THREE[1], { "0001_b", "create table a (i int)" } }
    for _, steps in ipairs { "steps.migrate {},", "function() error 'x' end, steps.migrate {}, steps.gate {},",
      "steps.migrate { dir = 'good' }, function() error 'x' end," } do
      local ran, outputs = pipeline(pg.database(), steps, bad)
      assert.not_equal(0, ran.code)
      assert.is_nil(outputs:find("gate=pass", 1, true))
    end
    local _, outputs = pipeline(pg.database(), "steps.migrate {},", bad)
    assert.equal("changed=true\napplied=0\npending=2\ngate=fail\n", outputs)
  end)

  it("R126 R77 refuses a tag that the journal lacks before the migration", function()
    local url = pg.database()
    local ran = pipeline(url, 'steps.migrate {}, steps.gate { require = "0002_x" },')
    assert.equal(2, ran.code)
    local conn <close> = db.connect(url)
    assert.is_false(conn:value "select to_regclass('a') is not null")
  end)
end)

describe("steps.http", function()
  local function run(step)
    local dir = tmp.dir { ["p.lua"] = "return pipeline { steps.http " .. step .. " }" }
    return cli.run { "p.lua", cwd = dir }
  end

  local function need_socat()
    if process.find "socat" then return true end
    pending "needs socat"
  end

  it("R125 passes when status and body are right", function()
    if not need_socat() then return end
    local app <close> = server.start()
    app:answer("200 OK", '{"status": "healthy", "db": true}')
    assert.equal(0, run(("{ url = %q }"):format(app.url)).code)
    local ran = run(([[{ url = %q, body = '"db": true', headers = { ["X-Key"] = "k1" } }]]):format(app.url .. "/h?k=v"))
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("/h is well, after", ran.stderr, 1, true)
    assert.matches("x-key: k1", fs.read(app.path .. ".request"):lower(), 1, true)
  end)

  it('R110 R125 does not take a "degraded" 200 for well, and shows what was answered', function()
    if not need_socat() then return end
    local app <close> = server.start()
    app:answer("200 OK", '{"status": "degraded", "search": "down"}')
    local ran = run(('{ url = %q, timeout = "300ms", every = "100ms" }'):format(app.url))
    assert.equal(1, ran.code)
    assert.matches('is not well: its status is degraded: {"status": "degraded", "search": "down"}', ran.stderr, 1, true)
    assert.matches("gave up after .* %(%d tries%)", ran.stderr)
  end)

  it("R110 R125 does not take a right body with a wrong status", function()
    if not need_socat() then return end
    local app <close> = server.start()
    app:answer("503 Service Unavailable", "ok")
    local ran = run(('{ url = %q, body = "ok", timeout = "200ms", every = "100ms" }'):format(app.url))
    assert.equal(1, ran.code)
    assert.matches("status 503", ran.stderr, 1, true)
    assert.equal(0, run(('{ url = %q, status = { 200, 503 }, body = "ok" }'):format(app.url)).code)
  end)

  it("R125 asks again until it is well", function()
    if not need_socat() then return end
    local app <close> = server.start()
    local dir = tmp.dir { ["p.lua"] = ([[local n = 0
      return pipeline { steps.http { url = %q, every = "50ms", timeout = "20s", body = function(body, answer)
        n = n + 1
        return n > 2 and answer.status == 200 and body == "ok", "not yet"
      end }, function() print(n) end }]]):format(app.url) }
    local ran = cli.run { "p.lua", cwd = dir }
    assert.same({ 0, "3\n" }, { ran.code, ran.stdout }, ran.stderr)
  end)

  it("R54 ends with 4 when nobody answers in time, and with the pipeline's deadline", function()
    local ran = run '{ url = "http://u:hunter2@127.0.0.1:1/x?token=hunter2", timeout = "200ms", every = "50ms" }'
    assert.equal(4, ran.code)
    assert.matches("http://127.0.0.1:1/x is not well", ran.stderr, 1, true)
    assert.is_nil((ran.stdout .. ran.stderr):find("hunter2", 1, true))
    local dir = tmp.dir { ["p.lua"] =
      'return pipeline { deadline = "1s", steps = { steps.http { url = "http://127.0.0.1:1", timeout = "1h" } } }' }
    assert.equal(4, cli.run({ "p.lua", cwd = dir, seconds = 10 }).code)
  end)

  it("refuses options that are none, before anything runs", function()
    for step, message in pairs { ["{ url = 'ftp://x' }"] = "is not an http address", ["{}"] = 'needs the option "url"',
      ["{ url = 'http://x', body = '[' }"] = "is not a pattern",
      ["{ url = 'http://x', bodi = 'x' }"] = 'did you mean "body"?',
      ["{ url = 'http://x', every = 'soon' }"] = "wants a time" } do
      local ran = run(step)
      assert.equal(2, ran.code)
      assert.matches(message, ran.stderr, 1, true)
    end
  end)
end)
