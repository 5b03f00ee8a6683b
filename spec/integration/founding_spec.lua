---What hurt the founding systems, each as a run of the program on real components: the three incidents behind the
---proxy, and the defects that were found in reading. A comment says what the old way did; the spec, what is done
---instead.
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local cloud = require "spec.support.cloud"
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local http = require "migrator.core.http"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local ONE = { { "0000_a", "create table a (i int)" } }
local TWO = { ONE[1], { "0001_b", "create table b (i int)" } }

local function migrate(url, list, ...) return cli.run { "migrate", "--dir", project.write(list), "--url", url, ... } end

local function migrated(list)
  local url, name = pg.database("founding")
  local ran = migrate(url, list)
  assert.equal(0, ran.code, ran.stderr)
  return url, name
end

local function value(url, sql, ...)
  local conn <close> = db.connect(url)
  return conn:value(sql, ...)
end

local function has(url, name) return value(url, "select pg_catalog.to_regclass($1) is not null", name) end

---Runs a pipeline of these steps as a job on GitHub, with files beside it; gives what it left in the outputs, too.
local function pipeline(url, steps, options)
  options = options or {}
  local dir = options.dir or tmp.dir {}
  tmp.write(dir .. "/p.lua", ("return pipeline { deadline = '40s', steps = { %s steps.report { 'github' } } }"):format(
    steps))
  project.write(options.journal or ONE, dir .. "/migrations")
  for name, text in pairs(options.files or {}) do tmp.write(dir .. "/" .. name, text) end
  fs.remove(dir .. "/out")
  local env = { DATABASE_URL = url, GITHUB_ACTIONS = "true", GITHUB_OUTPUT = dir .. "/out",
    GITHUB_STEP_SUMMARY = dir .. "/summary" }
  for name, given in pairs(options.env or {}) do env[name] = given end
  local ran = cli.run { "p.lua", cwd = dir, env = env, seconds = 45 }
  ran.outputs = fs.find(dir .. "/out") and fs.read(dir .. "/out") or ""
  return ran
end

---The last line that is not a detail of the one above it.
local function last_line(ran)
  local last
  for line in ran.stderr:gmatch("[^\n]+") do
    if not line:find("^ ") then last = line end
  end
  return last
end

describe("TRO-122", function()
  local INSTANCE, PROJECT, TOKEN = "trovella-prod:us-central1:trovella-prod", "trovella-prod", "ya29.emulated-sa-token"
  local RUN = [[steps.secret { name = "DATABASE_URL", from = "env:DATABASE_URL" },
    steps.proxy { "cloud_sql", instance = "]] .. INSTANCE .. [[", program = env.PROXY, endpoint = env.ENDPOINT,
      token = "]] .. TOKEN .. [[", %s },
    steps.wait { proxy = { timeout = "15s" }, database = { every = "100ms", timeout = "3s" } },
    steps.migrate {}, steps.verify {}, steps.gate {},]]
  local emulator, server

  local program = cloud.version_two

  setup(function()
    if not program() or not process.find "openssl" then return end
    server = ephemeral.start { port = true }
    -- As in the incident: the account's own project has the API off, so only the right quota project is served.
    emulator = cloud.instance("127.0.0.1:" .. server.port, { "--quota-project", PROJECT })
  end)

  teardown(function()
    if emulator then emulator.handle:stop() end
    if server then server:stop() end
  end)

  local function is_missing() return not emulator and "needs cloud-sql-proxy 2, Python and openssl" or nil end

  ---The proxy as it was started then; gives its port.
  local function start_old(...)
    local port, health = http.find_port(), http.find_port()
    local child = process.start { cmd = { program(), INSTANCE, "--port", port, "--http-port", health, "--health-check",
      "--sqladmin-api-endpoint", emulator.url, ... }, env = { CSQL_PROXY_TOKEN = TOKEN }, log = tmp.dir {} .. "/log" }
    local ready, why = pcall(wait.till, function()
      local answer = http.try_get(("http://127.0.0.1:%d/readiness"):format(health), { deadline = clock.deadline(1),
        headers = { Connection = "close" } }) -- none is kept
      return answer and answer.status == 200
    end, 15)
    if not ready then child:stop() end
    assert.is_true(ready, why)
    return child, port
  end

  local count = 0

  ---A database of its own, as the secret names it, and how we look into it.
  local function database()
    count = count + 1
    local name = "incident_" .. count
    local conn <close> = db.connect(server.url)
    conn:exec("create database " .. name)
    return ("postgresql://postgres@db.example.org/%s?sslmode=require"):format(name), server:url_of(name)
  end

  local function go(url, options)
    return pipeline(url, RUN:format(options or ""), { journal = TWO,
      env = { PROXY = program(), ENDPOINT = emulator.url } })
  end

  local function nothing_happened(ran, there)
    assert.is_nil(ran.stdout:find("Migrations complete", 1, true))
    assert.is_nil(ran.outputs:find("gate=pass", 1, true))
    assert.matches("gate=fail\n", ran.outputs, 1, true)
    assert.same({ false, false }, { has(there, "a"), has(there, "drizzle.__drizzle_migrations") })
  end

  before_each(function() if emulator then emulator.fault "" end end)

  it("a, premature readiness: ready is a login, not a 200 from a proxy that has never reached the instance", function()
    if is_missing() then return pending(is_missing()) end
    emulator.fault "tls_close_early"
    -- The old way: /readiness says 200, and the migration starts.
    local _ <close>, port = start_old("--quota-project", PROJECT)
    assert.is_false(pcall(db.connect, ("postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable"):format(port)))

    local url, there = database()
    for _, case in ipairs { { "tls_close_early", "", "before it was ready: the TLS handshake with the instance" },
      { "tls_close_early", "connection_test = false", "the TLS handshake with the instance was cut off" },
      { "backend_down", "", "no server answers behind it: the instance hung up" } } do
      emulator.fault(case[1])
      local ran = go(url, case[2])
      assert.equal(4, ran.code, ran.stderr)
      assert.matches(case[3], last_line(ran), 1, true)
      nothing_happened(ran, there)
    end
    emulator.fault ""
    local ran = go(url)
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("gate=pass\n", ran.outputs, 1, true)
  end)

  it("b, double TLS: the URL that asks for TLS is led to the proxy without it, and only there", function()
    if is_missing() then return pending(is_missing()) end
    -- The old way: the secret's sslmode goes to the proxy's port as it is, and the connection is cut.
    local _ <close>, port = start_old("--quota-project", PROJECT, "--run-connection-test")
    assert.is_false(pcall(db.connect, ("postgresql://postgres@127.0.0.1:%d/postgres?sslmode=require"):format(port)))

    local url, there = database()
    local ran = go(url, 'sslmode = "require"')
    assert.equal(2, ran.code)
    assert.matches("TLS inside the proxy's own TLS", last_line(ran), 1, true)
    assert.is_false(has(there, "a"))
    assert.is_nil(ran.outputs:find("gate=pass", 1, true))
    assert.is_nil(ran.stderr:find("Listening on", 1, true)) -- refused before anything was started

    ran = go(url)
    assert.equal(0, ran.code, ran.stderr)
    assert.is_true(has(there, "b"))
    -- With a proxy that somebody else started, the run that meets it ends with 4.
    ran = migrate(("postgresql://postgres@127.0.0.1:%d/postgres?sslmode=require"):format(port), ONE)
    assert.equal(4, ran.code)
    assert.matches("^error: cannot connect: .*SSL", last_line(ran))
    assert.matches("hint: if that is a proxy, which does TLS itself, use sslmode=disable", ran.stderr, 1, true)
    assert.is_false(has(server.url, "a"))
  end)

  it("c, quota project: the instance's own project is charged, and the wrong one is named", function()
    if is_missing() then return pending(is_missing()) end
    local _ <close> = start_old() -- the old way: without the flag it is ready all the same
    local url, there = database()
    for _, options in ipairs { "quota_project = false", 'quota_project = "trovella-shared"' } do
      local ran = go(url, options)
      assert.equal(4, ran.code, ran.stderr)
      assert.matches("the Cloud SQL Admin API is not enabled (project "
        .. (options:find("shared", 1, true) and "trovella-shared" or "987654321"), last_line(ran), 1, true)
      nothing_happened(ran, there)
    end
    local before = #emulator.log()
    local ran = go(url)
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(PROJECT, emulator.log()[before + 1].headers["x-goog-user-project"])
    assert.is_true(has(there, "b"))
  end)
end)

describe("founding-systems §17", function()
  -- The filter src/seed/** matched nothing, so that a change of seeds alone was never seen.
  it("17.1 a pattern that matches no tracked file is an error, which names the folder that was meant", function()
    if not process.find "git" then return pending("needs git") end
    local dir, url = tmp.dir { ["src/seeds/a.csv"] = "id\n1\n" }, pg.database("founding")
    for _, words in ipairs { { "init", "-q" }, { "add", "-A" },
      { "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "x" } } do
      assert.equal(0, process.run({ cmd = { "git", table.unpack(words) }, cwd = dir }).code)
    end
    local ran = pipeline(url, 'steps.detect { paths = { "src/seed/**" } }, steps.migrate {},', { dir = dir })
    assert.equal(2, ran.code)
    assert.matches('"src/seed/**"', last_line(ran), 1, true)
    assert.matches('hint: did you mean the folder "src/seeds"?', ran.stderr, 1, true)
    assert.is_false(has(url, "a"))
  end)

  -- The runbook queried a column `tag`, which Drizzle's table does not have.
  it("17.2 tags are the journal's: Drizzle's own table, without such a column, is enough", function()
    local url = pg.database("founding")
    local conn <close> = db.connect(url)
    conn:script [[create schema drizzle; create table drizzle.__drizzle_migrations
      (id serial primary key, hash text not null, created_at bigint)]]
    assert.equal(0, migrate(url, ONE).code)
    local ran = cli.run { "status", "--all", "--dir", project.write(TWO), "--url", url }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("\n0 +applied +%S+ %S+ +0000_a\n1 +pending +%S+ %S+ +0001_b\n", ran.stdout)
    assert.equal("id hash created_at", conn:value [[select string_agg(attname::text, ' ' order by attnum) from
      pg_attribute where attrelid = 'drizzle.__drizzle_migrations'::regclass and attnum > 0 and not attisdropped]])
  end)

  describe("a reset", function()
    local url, name, dir, seeds

    before_each(function()
      url, name = migrated(TWO)
      dir, seeds = project.write(TWO), tmp.dir {}
      value(url, "insert into a values (1) returning 1")
    end)

    local function reset(options, stdin)
      local all = { "reset", "--dir", dir, "--seeds", seeds, table.unpack(options) }
      all.stdin, all.env = stdin, { DATABASE_URL = url, NODE_ENV = "development" }
      return cli.run(all)
    end

    local function rows() return value(url, "select count(*) from a") end

    -- db:reset "from scratch" dropped nothing.
    it("17.3 drops what it says, tracking included, or says nothing of dropping", function()
      local ran = reset {}
      assert.same({ 0, 1 }, { ran.code, rows() }, ran.stderr)
      assert.is_nil(ran.stdout:find("Dropped", 1, true))
      ran = reset { "--drop", "--confirm", "reset " .. name }
      assert.same({ 0, 0 }, { ran.code, rows() }, ran.stderr)
      assert.matches("^Dropped: schema .*drizzle", ran.stdout)
      assert.matches("Applied 2 new migration(s).", ran.stdout, 1, true)
      assert.equal(2, value(url, "select count(*) from drizzle.__drizzle_migrations"))
    end)

    -- seed.py refused --lite after the schema had been dropped.
    it("17.4 looks at the seeds and at every argument before it drops anything", function()
      local phrase = "reset " .. name
      local ran = reset { "--drop", "--confirm", phrase, "--lite" }
      assert.same({ 2, 1 }, { ran.code, rows() })
      assert.matches("--lite", last_line(ran), 1, true)
      tmp.write(seeds .. "/lite.lua", "return { order = 1, environments = 'all', idempotnt = true }")
      ran = reset { "--drop", "--confirm", phrase }
      assert.same({ 2, 1 }, { ran.code, rows() })
      assert.matches("lite.lua", last_line(ran), 1, true)
    end)

    -- echo yes | init.py --reset: nobody asked, and nobody answered.
    it("17.5 does not take a pipe's word for consent", function()
      for _, word in ipairs { "yes\n", "y\n", "reset " .. name .. "\n" } do
        local ran = reset({ "--drop" }, word)
        assert.same({ 2, 1 }, { ran.code, rows() })
        assert.matches("this needs a confirmation, and the input is not a terminal", last_line(ran), 1, true)
      end
    end)
  end)

  -- migrate-production waited for unit tests alone: production went first.
  it("17.6 production is not migrated before staging has what it is about to get", function()
    local staging, production = migrated(ONE), pg.database("founding")
    local steps = [[steps.secret { name = "DATABASE_URL", from = "env:STAGING" }, steps.gate {},
      steps.secret { name = "DATABASE_URL", from = "env:PRODUCTION" }, steps.migrate {}, steps.gate {},]]
    local options = { journal = TWO, env = { STAGING = staging, PRODUCTION = production } }
    local ran = pipeline(staging, steps, options)
    assert.equal(1, ran.code)
    assert.matches("lacks 1 of the 2 migrations that this code needs: 0001_b (pending)", last_line(ran), 1, true)
    assert.matches("gate=fail\n", ran.outputs, 1, true)
    local promoted = pipeline(production, 'steps.promote { from = "env:STAGING" }, steps.migrate {},', options)
    assert.equal(1, promoted.code, promoted.stderr)
    assert.matches("1 of 2 pending migration(s) were not tried", last_line(promoted), 1, true)
    assert.is_false(has(production, "a"))
    assert.equal(0, migrate(staging, TWO).code)
    ran = pipeline(staging, steps, options)
    assert.equal(0, ran.code, ran.stderr)
    assert.is_true(has(production, "b"))
  end)

  -- The order migrate, build, deploy was a drawing; the workflow ran the first two in parallel.
  it("17.7 the order is asked of the database: no deploy before the migration, whatever ran beside it", function()
    local url, dir = pg.database("founding"), project.write(ONE)
    assert.equal(1, cli.run({ "gate", "--dir", dir, "--url", url }).code)
    assert.equal(0, migrate(url, ONE).code)
    assert.equal(0, cli.run({ "gate", "--dir", dir, "--url", url }).code)
    local ran = pipeline(false, "steps.gate {}, steps.secret { name = 'DATABASE_URL', from = 'env:X' },")
    assert.equal(2, ran.code)
    assert.matches('step "gate" needs "dsn", which no step before it gives', last_line(ran), 1, true)
  end)

  -- `strict` was believed to guard generation; a plain DROP went through without a word.
  it("17.8 plan shows every statement that destroys", function()
    local url = migrated { { "0000_a", "create table a (i int, old text)" } }
    local list = { { "0000_a", "create table a (i int, old text)" }, { "0001_b", "alter table a drop column old;\n"
      .. "--> statement-breakpoint\ndrop table a;" } }
    local ran = cli.run { "plan", "--dir", project.write(list), "--url", url }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("destructive: drops the column a.old and what is in it", ran.stdout, 1, true)
    assert.matches("destructive: drops the table a and its rows", ran.stdout, 1, true)
    assert.matches("2 statement(s) in 1 migration(s), 2 of them destructive", ran.stdout, 1, true)
    assert.is_true(has(url, "a"))
  end)

  -- "Some were applied" cannot happen in one transaction; the cause was a silent skip by `when`.
  it("17.9 a count that does not match is explained by name, and the skip that causes it is refused", function()
    local url = migrated(ONE)
    local late = { ONE[1], { "0001_b", "create table b (i int)", when = ("%d"):format(project.T - 5) } }
    local ran = migrate(url, late)
    assert.equal(1, ran.code)
    assert.matches("0001_b was never applied, and its `when`", last_line(ran), 1, true)
    assert.matches("is not newer than 0000_a's: Drizzle would skip it for ever", last_line(ran), 1, true)
    assert.is_false(has(url, "b"))
    ran = cli.run { "verify", "--dir", project.write(late), "--url", url }
    assert.equal(1, ran.code)
    assert.equal("error: Migration count mismatch: database has 1 but expected 2", last_line(ran))
    assert.matches("detail: 0001_b is not recorded in the database", ran.stderr, 1, true)
  end)

  -- Eleven tables made by migrations were missing from the list of policies, and nothing looked.
  it("17.10 a table without row-level security stops the run", function()
    local url = pg.database("founding")
    local list = { { "0000_a", "create table covered (organization_id int);\n"
      .. "create table forgotten (organization_id int)" } }
    local steps = 'steps.migrate {}, steps.repeatable { dir = "policies" }, steps.rls_audit {},'
    local files = { ["policies/10_covered.sql"] = "alter table covered enable row level security;\n"
      .. "alter table covered force row level security;\ndrop policy if exists p on covered;\n"
      .. "create policy p on covered using (organization_id = 1);" }
    local ran = pipeline(url, steps, { journal = list, files = files })
    assert.equal(1, ran.code, ran.stderr)
    assert.matches("public.forgotten has organization_id, but row-level security is off", last_line(ran), 1, true)
    assert.is_nil(ran.outputs:find("gate=pass", 1, true))
    assert.is_nil(ran.stderr:find("public.covered", 1, true))
    files["policies/20_forgotten.sql"] = files["policies/10_covered.sql"]:gsub("covered", "forgotten")
    ran = pipeline(url, steps, { journal = list, files = files })
    assert.equal(0, ran.code, ran.stderr)
  end)

  describe("a seed", function()
    local LIST = { { "0000_a", "create table version (name text primary key);\n--> statement-breakpoint\n"
      .. "create table part (name text primary key);\n--> statement-breakpoint\n"
      .. "create table model (id int primary key, body text, tags text[], doc jsonb)" } }
    local TIER = [[return { order = 1, environments = "all", idempotent = true, run = function(seed)
      seed.upsert("version", { key = { "name" }, rows = { { name = "v1" } } })
      seed.require(%s, "the parts of v1 cannot be read")
      seed.upsert("part", { key = { "name" }, rows = { { name = "p1" } } })
    end }]]

    local function seed(url, files)
      return pipeline(url, "steps.migrate {}, steps.verify {}, steps.seed {},", { journal = LIST, files = files })
    end

    -- The version row was committed first and taken for "done": a crash left half of it for ever.
    it("17.11 a tier that broke off leaves nothing, and is run again", function()
      local url = pg.database("founding")
      local ran = seed(url, { ["seeds/models.lua"] = TIER:format "false" })
      assert.equal(1, ran.code)
      assert.matches("state: tier models was rolled back as a whole", ran.stderr, 1, true)
      assert.equal(0, value(url, "select count(*) from version"))
      ran = seed(url, { ["seeds/models.lua"] = TIER:format "true" })
      assert.equal(0, ran.code, ran.stderr)
      assert.equal(2, value(url, "select (select count(*) from version) + (select count(*) from part)"))
    end)

    -- Functions printed an error, returned zeros and exited 0.
    it("17.12 an error is exit 1, with the file and the line, and no deploy", function()
      local ran = seed(pg.database("founding"), { ["seeds/models.lua"] = TIER:format "false" })
      assert.equal(1, ran.code)
      assert.matches("seeds/models.lua:3: tier models: the parts of v1 cannot be read", last_line(ran), 1, true)
      assert.matches("gate=fail\n", ran.outputs, 1, true)
      ran = seed(pg.database("founding"), { ["seeds/1/tier.lua"] = "return { order = 1, environments = 'all', "
        .. "idempotent = true }", ["seeds/1/1_version.csv"] = "name\nv1\nv1\n" })
      assert.equal(1, ran.code)
    end)

    -- The COPY helper left carriage returns alone, and backslashes in lists that went as JSON.
    it("17.13 every awkward byte comes back: carriage returns, backslashes, lists, JSON", function()
      local url = pg.database("founding")
      local ran = seed(url, { ["seeds/a/tier.lua"] = "return { order = 1, environments = 'all', idempotent = true }",
        ["seeds/a/1_model.jsonl"] = [[{"id": 1, "body": "a\r\nb\\c\td \\N \\.", "tags": ["C:\\dir\\", "q\"\r", ]]
          .. [["\\N"], "doc": {"list": ["x\\y", "\r", "tab\t"], "n": [1, null]}}]] .. "\n",
        ["seeds/a/2_model.csv"] = 'id,body\n2,"a\r\nb\\c \\N"\n' })
      assert.equal(0, ran.code, ran.stderr)
      local conn <close> = db.connect(url)
      local row = conn:row "select * from model where id = 1"
      assert.equal("a\r\nb\\c\td \\N \\.", row.body)
      assert.same({ "C:\\dir\\", 'q"\r', "\\N" }, row.tags)
      assert.same({ "x\\y", "\r", "tab\t" }, row.doc.list)
      assert.equal("a\r\nb\\c \\N", conn:value "select body from model where id = 2")
    end)
  end)

  -- pg_isready says "accepting" to users and databases that do not exist.
  it("17.14 ready is a login that runs a query", function()
    local there = pg.database("founding")
    local url = there:gsub("//[^@/]*@", "//founding_nobody@")
    assert.equal("accepting", db.ping(url))
    local before = clock.now()
    local ran = pipeline(url, "steps.wait { database = { timeout = '20s' } }, steps.migrate {},")
    assert.equal(4, ran.code)
    assert.matches('role "founding_nobody" does not exist', last_line(ran), 1, true)
    assert.is_true(clock.now() - before < 10) -- waiting cannot help, so it is not waited
    assert.is_false(has(there, "a"))
  end)

  describe("the budget of a proxy's readiness", function()
    local SLOW = [[steps.proxy { cmd = { "sh", "-c", "sleep 1; echo up; exec sleep 30" }, port = %d,
      ready = { log = "up", every = 0.1 } }, steps.wait { proxy = { timeout = "%s" } }, steps.migrate {},]]

    -- 30 s were allowed, and the connection test alone had been seen to take them.
    it("17.15 is longer than the longest connection test, and is the script's to set", function()
      local ready = require("migrator.proxies").get("cloud_sql").ready { major = 2, http_port = 9801 }
      assert.is_true(ready.timeout >= 60)
      local url = pg.database("founding")
      local ran = pipeline(url, SLOW:format(http.find_port(), "300ms"))
      assert.equal(4, ran.code)
      assert.matches("was not ready after 0.3", last_line(ran), 1, true)
      assert.is_false(has(url, "a"))
    end)

    it("17.15 does not matter to a proxy that ended: the wait ends with it", function()
      local before, url = clock.now(), pg.database("founding")
      local ran = pipeline(url, (SLOW:format(http.find_port(), "30s"):gsub("exec sleep 30", "exit 3"):gsub('log = "up"',
        'log = "never"')))
      assert.equal(4, ran.code)
      assert.matches("exited with code 3 before it was ready", last_line(ran), 1, true)
      assert.is_true(clock.now() - before < 15)
    end)
  end)

  -- One place set variables only, another switched the role too: with a bypassing login the former isolates nothing.
  it("17.16 as_role really becomes the role, and a login for whom no policy holds is found out", function()
    local policies = [[alter table note enable row level security;
      alter table note force row level security;
      drop policy if exists p on note;
      create policy p on note using (org = (select nullif(current_setting('app.organization_id', true), '')::int));]]
    local function test(body)
      local dir = project.write({ { "0000_note", "create table note (org int); create role app; \z
        grant select on note to app; insert into note values (1), (2);" } }, tmp.dir {} .. "/migrations")
      local root = dir:match("^(.*)/")
      tmp.write(root .. "/migrator.config.lua", 'return { repeatable = "policies" }')
      tmp.write(root .. "/policies/10_note.sql", policies)
      tmp.write(root .. "/spec/note_spec.lua", 'describe("note", function() it("x", function()\n' .. body
        .. "\nend) end)")
      return cli.run { "test", cwd = root }
    end
    local ran = test [[
      db.exec "select set_config('app.organization_id', '1', false)"
      assert.equal(2, db.value "select count(*) from note") -- variables alone: the superuser sees everything
      as_role("app", { ["app.organization_id"] = "1" }, function(conn)
        assert.equal("app", conn:value "select current_user::text")
        assert.equal(1, conn:value "select count(*) from note")
      end)]]
    assert.equal(0, ran.code, ran.stdout .. ran.stderr)
    ran = test [[as_role("postgres", { ["app.organization_id"] = "1" }, function() end)]]
    assert.equal(1, ran.code)
    assert.matches("the role postgres is a superuser", ran.stdout, 1, true)
    -- The same login, looked at where the deploy happens.
    ran = pipeline(pg.database("founding"), "steps.migrate {}, steps.rls_audit { column = 'org', role = 'postgres' },",
      { journal = { { "0000_note", "create table note (org int);\n" .. policies } } })
    assert.equal(1, ran.code, ran.stderr)
    assert.matches("the role postgres is a superuser", ran.stderr, 1, true)
  end)

  -- A marker at the end makes an empty statement, which a strict runner takes for an error.
  it("17.17 a statement-breakpoint at the end is no error, and changes no hash", function()
    local mark = "\n--> statement-breakpoint\n"
    local text = "create table a (i int);" .. mark .. "create table b (i int);" .. mark
    local url = migrated { { "0000_a", text }, { "0001_c", "--> statement-breakpoint" } }
    assert.same({ true, true }, { has(url, "a"), has(url, "b") })
    assert.equal(hash.sha256(text), value(url, "select hash from drizzle.__drizzle_migrations order by id limit 1"))
    local ran = cli.run { "verify", "--dir", project.write { { "0000_a", text },
      { "0001_c", "--> statement-breakpoint" } }, "--url", url }
    assert.equal(0, ran.code, ran.stderr)
  end)
end)
