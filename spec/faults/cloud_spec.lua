---scripts/pipeline.lua as a job on GitHub runs it, with Google's side emulated and the real cloud-sql-proxy in front of a
---real server; and everything that can go wrong on the way. Each failure: its exit code, its cause in the last line, the
---proxy's log shown, nothing left running, no word of a gate that is open.
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local cloud = require "spec.support.cloud"
local ephemeral = require "migrator.ephemeral"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local http = require "migrator.core.http"
local marked = require "spec.support.marked"
local pg = require "migrator.db"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local INSTANCE = "trovella-prod:us-central1:trovella-prod"

-- What is switched on at the emulator, the exit code, the cause. `proxy`: its log was shown.
local FAULTS = {
  { "oidc_500", 4, "GitHub's token service failed" },
  { "sts_bad_audience", 2, "there is no such provider, or it is disabled" },
  { "imp_denied", 2, "it may not act as ci@trovella-shared.iam.gserviceaccount.com" },
  { "secret_denied", 2, "no permission to read secret DATABASE_URL of project trovella-prod" },
  { "secret_404", 2, "there is no secret DATABASE_URL of project trovella-prod" },
  { "secret_crc", 4, "its checksum does not fit" },
  { "api_disabled", 4, "the Cloud SQL Admin API is not enabled (project trovella-prod)", proxy = true },
  { "quota_denied", 4, "the identity may not use the quota project", proxy = true },
  { "not_found", 4, "there is no such Cloud SQL instance", proxy = true },
  { "forbidden", 4, "permission denied by the Cloud SQL Admin API", proxy = true },
  { "unauth", 4, "Google refused the access token", proxy = true },
  { "500", 4, "the Cloud SQL Admin API is not available (HTTP 503)", proxy = true },
  { "bad_server_ca", 4, "not the instance's", proxy = true },
  { "bad_cn", 4, 'CN "trovella-prod:somebody-else"', proxy = true },
  { "region_mismatch", 4, "the instance is not in region us-central1", proxy = true, two = true },
  { "no_public_ip", 4, "the instance has no PUBLIC address", proxy = true, two = true },
  { "reject_client_cert", 4, "the instance refused the proxy's certificate", proxy = true },
  { "tls_close_early", 4, "the TLS handshake with the instance was cut off", proxy = true },
  -- Version 1 sometimes dies of it before it has said why.
  { "backend_down", 4, "the instance hung up", proxy = true, one = "its connection test failed" },
}

describe("scripts/pipeline.lua on a cloud", function()
  local emulator, server, program, two

  setup(function()
    program, two = cloud.proxy()
    if not program or not process.find "openssl" then return end
    server = ephemeral.start { port = true }
    emulator = cloud.instance("127.0.0.1:" .. server.port, { "--quota-project", "trovella-prod",
      "--secret", "DATABASE_URL=postgresql://app:s3cr%40t@203.0.113.9:5432/trovella?schema=public&connection_limit=5",
      "--secret", "MALFORMED=postgres//app:s3cr%40t@203.0.113.9/trovella", "--secret", "EMPTY=",
      "--secret", "NOBODY=postgresql://nobody:s3cr%40t@203.0.113.9:5432/trovella" })
    local conn = pg.connect(server.url)
    conn:script "create role app login password 's3cr@t'"
    conn:script "create database trovella owner app"
    conn:close()
  end)

  teardown(function()
    if emulator then emulator.handle:stop() end
    if server then server:stop() end
  end)

  local mark, dir

  before_each(function()
    if not emulator then return end
    emulator.fault("")
    mark, dir = hash.random_hex(8), tmp.dir { ["pipeline.lua"] = fs.read "scripts/pipeline.lua" }
    fs.mkdir(dir .. "/seeds")
    local conn = pg.connect((server.url:gsub("/postgres%?", "/trovella?")))
    conn:script [[drop schema if exists drizzle cascade; drop schema public cascade;
      create schema public authorization app]]
    conn:close()
  end)

  local function need(only_two)
    if not emulator then return "needs cloud-sql-proxy, Python and openssl" end
    return only_two and not two and "needs cloud-sql-proxy 2" or nil
  end

  local function job(more)
    local env = cloud.job(emulator.url, { MIGRATOR_GCP_SQLADMIN_URL = emulator.url, GCP_PROVIDER = cloud.PROVIDER,
      GCP_SERVICE_ACCOUNT = cloud.ACCOUNT, SECRET_FROM = "sm://trovella-prod/DATABASE_URL",
      CLOUD_SQL_INSTANCE = INSTANCE, CLOUD_SQL_PROXY = program, GITHUB_OUTPUT = dir .. "/output",
      [marked.NAME] = mark, NODE_ENV = "production" })
    for name, value in pairs(more or {}) do env[name] = value end
    return env
  end

  local function migrations(list)
    project.write(list or { { "0000_a", "create table a (id int)" } }, dir .. "/migrations")
  end

  local function go(more)
    migrations()
    return cli.run { "pipeline.lua", cwd = dir, env = job(more), seconds = 100 }
  end

  local function last_error(ran)
    local line
    for found in ("\n" .. ran.stderr):gmatch("\nerror: ([^\n]*)") do line = found end
    return line or ran.stderr
  end

  local function check_clean(ran)
    assert.same({}, marked.find(mark))
    local outputs = fs.find(dir .. "/output") and fs.read(dir .. "/output") or ""
    assert.not_matches("gate=pass", outputs, 1, true)
    for _, secret in ipairs { "s3cr@t", "s3cr%40t", "ya29.emulated", "gh-runtime-token" } do
      assert.not_matches(secret, ran.stdout .. ran.stderr, 1, true)
    end
  end

  local function check_failed(ran, code, cause, proxy)
    assert.equal(code, ran.code, ran.stderr)
    assert.matches(cause, last_error(ran), 1, true)
    assert.matches("\n  hint: ", ran.stderr, 1, true)
    assert.matches(cause, ran.stdout:match("\n([^\n]+)\n$") or "", 1, true)
    if proxy then assert.matches("info: proxy: %S", ran.stderr) end
    check_clean(ran)
  end

  it("R1 goes from a push to an open gate: identity, secret, proxy, migrations, verification, seeds", function()
    local missing = need()
    if missing then return pending(missing) end
    migrations()
    local ran = cli.run { "pipeline.lua", cwd = dir,
      env = job { GITHUB_ACTIONS = "true", EXPECT_DATABASE = "trovella" } }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("Applied 1 new migration(s).", ran.stdout, 1, true)
    assert.matches("Gate: open", ran.stdout, 1, true)
    assert.matches("gate=pass", fs.read(dir .. "/output"), 1, true)
    assert.same({}, marked.find(mark))
    ran = go()
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("Applied 0 new migration(s).", ran.stdout, 1, true)
  end)

  for _, fault in ipairs(FAULTS) do
    it(("R71 R134 R135 says the cause of %s"):format(fault[1]), function()
      local missing = need(fault.two)
      if missing then return pending(missing) end
      emulator.fault(fault[1])
      local ran = go()
      local cause = not two and fault.one and last_error(ran):find(fault.one, 1, true) and fault.one or fault[3]
      check_failed(ran, fault[2], cause, fault.proxy)
    end)
  end

  it("gets over what is busy once", function()
    local missing = need(true)
    if missing then return pending(missing) end
    emulator.fault("503_once", 1)
    local ran = go()
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("trying again in", ran.stderr, 1, true)
  end)

  it("R54 holds its deadline when the API hangs", function()
    local missing = need()
    if missing then return pending(missing) end
    emulator.fault "slow"
    tmp.write(dir .. "/pipeline.lua", (fs.read("scripts/pipeline.lua"):gsub('deadline = "5m"', 'deadline = "3s"')))
    local before = clock.now()
    check_failed(go(), 4, "was not ready", true)
    assert.is_true(clock.now() - before < 12)
  end)

  local REFUSED = {
    { "MALFORMED", 2, "DATABASE_URL" },
    { "EMPTY", 2, "is empty" },
    { "NOBODY", 4, 'password authentication failed for user "nobody"', proxy = true, or_else = 'role "nobody"' },
  }
  for _, case in ipairs(REFUSED) do
    it("R130 refuses a secret that is no URL to work with: " .. case[1], function()
      local missing = need()
      if missing then return pending(missing) end
      local ran = go { SECRET_FROM = "sm://trovella-prod/" .. case[1] }
      assert.equal(case[2], ran.code, ran.stderr)
      local said = last_error(ran)
      assert.is_truthy(said:find(case[3], 1, true) or case.or_else and said:find(case.or_else, 1, true), said)
      check_clean(ran)
    end)
  end

  it("R64 stops at another database than the expected one, before anything changes", function()
    local missing = need()
    if missing then return pending(missing) end
    check_failed(go { EXPECT_DATABASE = "trovella_production" }, 2, "trovella_production", true)
    local conn = pg.connect((server.url:gsub("/postgres%?", "/trovella?")))
    assert.is_nil(conn:value "select to_regclass('public.a')::text" ~= pg.null
      and conn:value "select to_regclass('public.a')::text" or nil)
    conn:close()
  end)

  it("R72 names who holds the port", function()
    local missing = need()
    if missing then return pending(missing) end
    tmp.write(dir .. "/pipeline.lua", (fs.read("scripts/pipeline.lua"):gsub('instance = instance,',
      ("instance = instance, port = %d,"):format(server.port))))
    check_failed(go(), 4, ("port %d is in use by "):format(server.port))
  end)

  local function slow(list, seeds)
    migrations(list)
    for name, text in pairs(seeds or {}) do tmp.write(dir .. "/seeds/" .. name, text) end
    return cli.start { "pipeline.lua", cwd = dir, env = job(), log = dir .. "/log" }
  end

  local function kill_proxy()
    for _, found in ipairs(marked.find(mark, "--run-connection-test")) do
      process.run { cmd = { "kill", "-9", tostring(found.pid) } }
    end
  end

  local STAGES = {
    { "while we wait for it", fault = "slow", till = function() return #marked.find(mark, "--health-check") > 0 end },
    { "in the middle of a migration", till = function(log) return log:find("Running migrations", 1, true) end,
      list = { { "0000_slow", "select pg_sleep(20)" } } },
    { "while it seeds", till = function(log) return log:find("Verified.*Verified") end,
      seeds = { ["reference/tier.lua"] =
        'return { name = "reference", order = 1, idempotent = true, environments = "all" }',
        ["reference/10_slow.sql"] = "select pg_sleep(20);" } },
  }
  for _, stage in ipairs(STAGES) do
    it("R67 a proxy killed " .. stage[1] .. " is the cause that is named", function()
      local missing = need(true)
      if missing then return pending(missing) end
      if stage.fault then emulator.fault(stage.fault) end
      local child = slow(stage.list, stage.seeds)
      wait.till(function() return stage.till(child:log_tail(1 << 20) or "") end, 20)
      clock.sleep(0.5)
      kill_proxy()
      local code = child:wait(clock.deadline(20)).code
      local log = child:log_tail(1 << 20)
      assert.equal(4, code, log)
      assert.matches("cloud%-sql%-proxy was killed by SIGKILL", log)
      check_clean { stdout = log, stderr = "" }
    end)
  end

  it("says that the database is gone when it goes during the run", function()
    local missing = need()
    if missing then return pending(missing) end
    local child = slow { { "0000_slow", "select pg_sleep(20)" } }
    wait.till(function() return (child:log_tail(1 << 20) or ""):find("Running migrations", 1, true) end, 20)
    clock.sleep(0.5)
    local conn = pg.connect(server.url)
    conn:exec "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'trovella'"
    conn:close()
    local code = child:wait(clock.deadline(20)).code
    assert.equal(4, code, child:log_tail(1 << 20))
    assert.matches("terminating connection due to administrator command", child:log_tail(1 << 20), 1, true)
    check_clean { stdout = child:log_tail(1 << 20), stderr = "" }
  end)

  it("R54 a TLS front that never answers ends with the budget, not with the job", function()
    local missing = need(true)
    if missing then return pending(missing) end
    if not process.find "socat" then return pending "needs socat" end
    local other = emulator.address:gsub("7$", "9")
    local silent = process.start { cmd = { "socat", ("TCP-LISTEN:3307,bind=%s,fork"):format(other), "EXEC:sleep 60" },
      log = dir .. "/socat.log" }
    local second = cloud.emulator { "--ip", other, "--quota-project", "trovella-prod", "--secret",
      "DATABASE_URL=postgresql://app:x@203.0.113.9:5432/trovella" }
    tmp.write(dir .. "/pipeline.lua", (fs.read("scripts/pipeline.lua"):gsub("timeout = 60", "timeout = 2")))
    local env = {}
    for name, value in pairs(job()) do
      env[name] = type(value) == "string" and value:gsub(emulator.url, second.url, 1) or value
    end
    migrations()
    local before = clock.now()
    local ran = cli.run { "pipeline.lua", cwd = dir, env = env }
    second.handle:stop()
    silent:stop()
    assert.equal(4, ran.code, ran.stderr)
    assert.matches("was not ready after 2", last_error(ran), 1, true)
    assert.is_true(clock.now() - before < 15)
    check_clean(ran)
  end)

  it("R132 tells an expired token and a clock that is wrong from a refusal", function()
    local missing = need()
    if missing then return pending(missing) end
    local small = cloud.small()
    for text, said in pairs { ["The ID Token is expired."] = "expired",
      ["ID Token issued at 9763700000 is in the future."] = "from the future" } do
      small.say("sts.json", { status = 400, body = { error = "invalid_grant", error_description = text } })
      local ran = go { MIGRATOR_GCP_STS_URL = small.url }
      assert.equal(2, ran.code, ran.stderr)
      assert.matches(said, last_error(ran), 1, true)
      check_clean(ran)
    end
    small.handle:stop()
  end)

  it("R67 R72 on a machine without the proxy says what to install", function()
    local missing = need()
    if missing then return pending(missing) end
    check_failed(go { CLOUD_SQL_PROXY = "no-such-proxy" }, 4, "no-such-proxy")
    assert.is_true(http.port_free(http.find_port()))
  end)
end)
