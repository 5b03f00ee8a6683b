---steps.proxy with the real proxies in front of a real server: cloud-sql-proxy 2, version 1 behind version 2's command
---line, version 1 itself, against the emulator of Google's side; and socat, kubectl, PgBouncer, ssh.
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local cloud = require "spec.support.cloud"
local ephemeral = require "migrator.ephemeral"
local http = require "migrator.core.http"
local process = require "migrator.core.process"
local fs = require "migrator.core.fs"
local tmp = require "spec.support.tmp"

local INSTANCE = "trovella-prod:us-central1:trovella-prod"
local TOKEN = "ya29.emulated-sa-token"

local SCRIPT = [[
return pipeline { deadline = "40s", steps = {
  steps.proxy { %s },
  steps.wait { proxy = { timeout = "15s" }, database = { every = "100ms", timeout = "1500ms" } },
  function(ctx) print(ctx:need("conn"):value "select 'through'") end,
  %s
} }]]

local version_two = cloud.version_two

local function shim()
  return process.find "cloud_sql_proxy" and fs.absolute "spec/emulator/cloud-sql-proxy-shim" or nil
end

local DRIVERS = {
  { name = "cloud-sql-proxy 2", find = version_two, options = "quota_project = 'trovella-prod'" },
  { name = "version 1 with version 2's command line", find = shim, options = "quota_project = 'trovella-prod'" },
  { name = "version 1", find = function() return process.find "cloud_sql_proxy" end, one = true,
    options = "quota_project = false, allow = { 'token_in_argv' }" },
}

-- The emulator's faults that a proxy meets; what version 1 does not mind is not among its own.
local FAULTS = {
  { "api_disabled", "the Cloud SQL Admin API is not enabled (project " },
  { "quota_denied", "the identity may not use the quota project" },
  { "not_found", "there is no such Cloud SQL instance" },
  { "forbidden", "permission denied by the Cloud SQL Admin API" },
  { "unauth", "Google refused the access token" },
  { "500", "the Cloud SQL Admin API is not available (HTTP 503)" },
  { "bad_server_ca", "not the instance's (certificate signed by unknown authority)" },
  { "bad_cn", 'CN "trovella-prod:somebody-else"' },
  { "region_mismatch", "the instance is not in region us-central1, but in europe-west1", two = true },
  { "no_public_ip", "the instance has no PUBLIC address", two = true },
  { "reject_client_cert", "the instance refused the proxy's certificate" },
  { "tls_close_early", "the TLS handshake with the instance was cut off" },
  -- Version 1 sometimes dies of it before it has said why.
  { "backend_down", "the instance hung up", one = "its connection test failed" },
}

describe("steps.proxy with cloud_sql", function()
  local emulator, server

  setup(function()
    if not process.find "openssl" then return end
    server = ephemeral.start { port = true }
    emulator = cloud.instance("127.0.0.1:" .. server.port)
  end)

  teardown(function()
    if emulator then emulator.handle:stop() end
    if server then server:stop() end
  end)

  ---Runs a pipeline through a proxy.
  local function go(driver, fields)
    fields = fields or {}
    local dir = tmp.dir {}
    local options = ("preset = 'cloud_sql', instance = %q, program = env.PROXY, endpoint = env.ENDPOINT, %s %s"):format(
      fields.instance or INSTANCE, fields.token or ("token = '%s',"):format(TOKEN), fields.options or driver.options)
    tmp.write(dir .. "/p.lua", SCRIPT:format(options, fields.more or ""))
    local env = { PROXY = driver.find(), ENDPOINT = emulator.url,
      DATABASE_URL = "postgresql://postgres@db.example.org/" .. (fields.database or "postgres") .. "?sslmode=require" }
    for name, value in pairs(fields.env or {}) do env[name] = value end
    local ran = cli.run { "p.lua", cwd = dir, env = env, seconds = 45 }
    ran.dir = dir
    return ran
  end

  local function is_missing(driver)
    if not emulator then return "needs Python and openssl" end
    return not driver.find() and "needs " .. driver.name or nil
  end

  before_each(function() if emulator then emulator.fault("") end end)

  for _, driver in ipairs(DRIVERS) do
    it("R66 R68 R69 R70 gets a login through " .. driver.name, function()
      local missing = is_missing(driver)
      if missing then return pending(missing) end
      local ran = go(driver)
      assert.equal("through\n", ran.stdout, ran.stderr)
      assert.equal(0, ran.code)
      assert.matches("info: proxy: .*Listening on 127.0.0.1", ran.stderr)
      assert.not_matches(TOKEN, ran.stderr, 1, true)
    end)

    for _, fault in ipairs(FAULTS) do
      if not (fault.two and driver.find ~= version_two) then
        it(("R67 R71 names the cause of %s, of %s"):format(fault[1], driver.name), function()
          local missing = is_missing(driver)
          if missing then return pending(missing) end
          emulator.fault(fault[1])
          local ran = go(driver)
          assert.equal(4, ran.code, ran.stderr)
          local said = ran.stderr:match("\nerror: ([^\n]*)")
          assert.is_truthy(said:find(fault[2], 1, true)
            or driver.find ~= version_two and fault.one and said:find(fault.one, 1, true), said)
          assert.matches("\n  hint: ", ran.stderr, 1, true)
          assert.matches("info: proxy: ", ran.stderr, 1, true)
          assert.not_matches("through", ran.stdout, 1, true)
        end)
      end
    end
  end

  local two = DRIVERS[1]

  ---A spec of the real version 2, or of version 1 with its command line where that is all there is.
  local function with_proxy(name, fn)
    it(name, function()
      local driver = version_two() and two or DRIVERS[2]
      local missing = is_missing(driver)
      if missing then return pending(missing) end
      fn(driver)
    end)
  end

  with_proxy("R71 warns of a missing quota project before it fails for it", function(driver)
    emulator.fault("api_disabled")
    local ran = go(driver, { options = "quota_project = false" })
    assert.equal(4, ran.code)
    assert.matches("^warning: proxy: without %-%-quota%-project", ran.stderr)
    assert.matches("hint: set quota_project to the project of the instance", ran.stderr, 1, true)
  end)

  with_proxy("survives an API that is busy once", function(driver)
    if driver ~= two then return pending("needs cloud-sql-proxy 2") end
    emulator.fault("503_once", 1)
    assert.equal("through\n", go(driver).stdout)
  end)

  with_proxy("holds the budget when the API hangs, and stops what hangs", function(driver)
    emulator.fault("slow")
    local before = clock.now()
    local ran = go(driver, { options = driver.options .. ", ready = { timeout = 1.5 }" })
    assert.equal(4, ran.code, ran.stderr)
    assert.matches("was not ready after 1.5", ran.stderr, 1, true)
    assert.is_true(clock.now() - before < 10)
  end)

  with_proxy("without the connection test it is warned of, and the log names the cause at the login", function(driver)
    if driver ~= two then return pending("needs cloud-sql-proxy 2") end
    emulator.fault("forbidden")
    local ran = go(driver, { options = driver.options .. ", connection_test = false" })
    assert.equal(4, ran.code)
    assert.matches("cannot reach the database: permission denied by the Cloud SQL Admin API", ran.stderr, 1, true)
  end)

  with_proxy("exits 2 for its options: a bad flag, a malformed instance, TLS twice, an open address", function(driver)
    local ran = go(driver, { options = driver.options .. ", args = { '--nope' }" })
    assert.equal(2, ran.code, ran.stderr)
    assert.matches("it does not take its arguments (--nope)", ran.stderr, 1, true)
    for options, said in pairs { ["sslmode = 'require'"] = "TLS inside the proxy's own TLS",
      ["host = '0.0.0.0'"] = "listen on every address", ["port = 1.5"] = "port" } do
      ran = go(driver, { options = driver.options .. ", " .. options })
      assert.equal(2, ran.code, ran.stderr)
      assert.matches(said, ran.stderr, 1, true)
    end
    ran = go(driver, { instance = "trovella" })
    assert.equal(2, ran.code)
    assert.matches('"trovella" is not the name of a Cloud SQL instance', ran.stderr, 1, true)
  end)

  with_proxy("R72 names who holds the port, and starts nothing", function(driver)
    local ran = go(driver, { options = ("%s, port = %d"):format(driver.options, server.port) })
    assert.equal(4, ran.code)
    assert.matches(("port %d is in use by "):format(server.port), ran.stderr, 1, true)
    assert.matches("No proxy log found", ran.stderr, 1, true)
    ran = go(driver, { options = ("%s, http_port = %d"):format(driver.options, server.port) })
    assert.matches(("port %d is in use by "):format(server.port), ran.stderr, 1, true)
  end)

  with_proxy("R70 tells a refused login from a broken way", function(driver)
    local ran = go(driver, { database = "nope" })
    assert.equal(4, ran.code)
    assert.matches('database "nope" does not exist', ran.stderr, 1, true)
    assert.not_matches("cannot reach the database", ran.stderr, 1, true)
  end)

  with_proxy("R73 dumps the log between stop-commands on GitHub, masked, and leaves nothing running", function(driver)
    emulator.fault("not_found")
    local port = http.find_port()
    local ran = go(driver, { env = { GITHUB_ACTIONS = "true" }, options = ("%s, port = %d, name = 'sql'"):format(
      driver.options, port) })
    local token, log = ran.stdout:match("::group::proxy log\n::stop%-commands::(%x+)\n(.*)$")
    assert.truthy(token, ran.stdout)
    local inside = log:match("^(.-)\n::" .. token .. "::\n::endgroup::\n")
    assert.matches("instanceDoesNotExist", inside, 1, true)
    assert.matches("error: sql exited with code 1 before it was ready: there is no such", ran.stderr, 1, true)
    assert.is_true(http.port_free(port))
    emulator.fault("")
    ran = go(driver, { env = { GITHUB_ACTIONS = "true" }, more = "function() error('later') end" })
    assert.matches("::stop%-commands::%x+\n.*Connection test passed", ran.stdout)
  end)

  with_proxy("keeps the token and the URL out of its arguments and environment", function(driver)
    local ran = go(driver, { env = { PGPASSWORD = "pg-secret-1" }, more = [[function(ctx)
      local folder = ("/proc/%d/"):format(ctx.proxy:pid())
      local function read(name)
        return process.run({ cmd = { "tr", "\\0", "\n" }, input = process.run({ cmd = { "cat", folder .. name } }).stdout }).stdout
      end
      local argv, environ = read "cmdline", read "environ"
      print("argv", argv:find("ya29", 1, true) == nil, argv:find("--run-connection-test", 1, true) ~= nil)
      print("env", environ:find("CSQL_PROXY_TOKEN=", 1, true) ~= nil, environ:find("DATABASE_URL=", 1, true) == nil,
        environ:find("pg-secret-1", 1, true) == nil)
    end]] })
    assert.matches("argv\ttrue\ttrue\nenv\ttrue\ttrue\ttrue\n", ran.stdout, 1, true)
  end)

  with_proxy("R67 says it when the proxy is killed during the run", function(driver)
    local ran = go(driver, { more = [[function(ctx)
      process.run { cmd = { "kill", "-9", tostring(ctx.proxy:pid()) } }
      for _ = 1, 100 do ctx:need("conn"):value "select pg_sleep(0.05)" end
    end]] })
    if driver ~= two then return end -- its child goes on carrying bytes
    assert.equal(4, ran.code, ran.stderr)
    assert.matches("cloud-sql-proxy was killed by SIGKILL", ran.stderr, 1, true)
  end)

  with_proxy("takes token and endpoint of steps.auth", function(driver)
    local dir = tmp.dir {}
    tmp.write(dir .. "/p.lua", ([[return pipeline { steps = {
      steps.auth { token = "%s", quota_project = "trovella-prod", endpoints = { sqladmin = env.ENDPOINT } },
      steps.proxy { "cloud_sql", instance = "%s", program = env.PROXY },
      steps.wait {}, function(ctx) print(ctx:need("conn"):value "select 'through'") end } }]]):format(TOKEN, INSTANCE))
    local before = #emulator.log()
    local ran = cli.run { "p.lua", cwd = dir, env = { PROXY = driver.find(), ENDPOINT = emulator.url,
      DATABASE_URL = "postgresql://postgres@db.example.org/postgres" } }
    assert.equal("through\n", ran.stdout, ran.stderr)
    local request = emulator.log()[before + 1]
    assert.equal("Bearer " .. TOKEN, request.headers.authorization)
    assert.equal("trovella-prod", request.headers["x-goog-user-project"])
  end)

  it("refuses version 1 with what it cannot do", function()
    local driver = DRIVERS[3]
    local missing = is_missing(driver)
    if missing then return pending(missing) end
    local ran = go(driver, { options = "quota_project = 'p'" })
    assert.equal(2, ran.code)
    assert.matches("version 1 knows no quota project", ran.stderr, 1, true)
    ran = go(driver, { options = "quota_project = false" })
    assert.equal(2, ran.code)
    assert.matches("a token on the command line can be read", ran.stderr, 1, true)
    ran = go(driver, { options = "quota_project = false", token = "", env = { HOME = tmp.dir {},
      GCE_METADATA_HOST = emulator.url:match("//(.*)") } })
    assert.equal(4, ran.code)
    assert.matches("permission denied by the Cloud SQL Admin API", ran.stderr, 1, true)
  end)
end)

describe("steps.proxy with the other presets", function()
  local server

  setup(function() server = ephemeral.start { port = true } end)
  teardown(function() server:stop() end)

  local function go(options, env)
    local dir = tmp.dir {}
    tmp.write(dir .. "/p.lua", SCRIPT:format(options, ""))
    local all = { DATABASE_URL = server.port_url:gsub("sslmode=disable", "connect_timeout=5") }
    for name, value in pairs(env or {}) do all[name] = value end
    return cli.run { "p.lua", cwd = dir, env = all, seconds = 45 }
  end

  it("R66 reaches through socat where the URL leads", function()
    if not process.find "socat" then return pending("needs socat") end
    local ran = go("'socat'")
    assert.equal("through\n", ran.stdout, ran.stderr)
    ran = go(("'socat', target = '%s/.s.PGSQL.%d'"):format(server.dir, server.port))
    assert.equal("through\n", ran.stdout, ran.stderr)
    ran = go("'socat', target = '127.0.0.1:1'")
    assert.equal(4, ran.code)
    assert.matches("no server answers behind it: no connection to the target (127.0.0.1:1: Connection refused)",
      ran.stderr,
      1, true)
    ran = go("'socat', target = 'nohost.invalid:1'")
    assert.equal(4, ran.code)
    assert.matches("a host name cannot be resolved", ran.stderr, 1, true)
  end)

  it("R60 R66 reaches through PgBouncer, and refuses one that pools transactions", function()
    local program, user = process.find "pgbouncer", process.user()
    if not program then return pending("needs pgbouncer") end
    local dir, port = tmp.dir {}, http.find_port()
    local function configure(mode)
      tmp.write(dir .. "/pb.ini", ("[databases]\n* = host=127.0.0.1 port=%d user=postgres\n[pgbouncer]\n"
        .. "listen_addr = 127.0.0.1\nlisten_port = %d\nauth_type = any\nunix_socket_dir =\npool_mode = %s\n"
        .. "ignore_startup_parameters = options, extra_float_digits\n"):format(server.port, port, mode))
      process.run { cmd = { "chmod", "-R", "a+rX", dir } }
    end
    local options = ("'pgbouncer', config = %q, port = %d%s"):format(dir .. "/pb.ini", port,
      user.uid == 0 and ", user = 'postgres'" or "")
    configure "session"
    local ran = go(options)
    assert.equal("through\n", ran.stdout, ran.stderr)
    configure "transaction"
    ran = go(options)
    assert.equal(2, ran.code)
    assert.matches("pool_mode=transaction gives a session's locks", ran.stderr, 1, true)
    if user.uid ~= 0 then return end
    configure "session"
    ran = go((options:gsub(", user = 'postgres'", "")))
    assert.equal(2, ran.code)
    assert.matches("it does not run as root", ran.stderr, 1, true)
  end)

  it("R67 names what ssh, kubectl and aws complain of", function()
    local refused = tmp.dir {} .. "/config"
    tmp.write(refused, 'apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]\n'
      .. "contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\nusers: [{name: u, user: {}}]\n")
    for program, case in pairs {
      ssh = { "'ssh', to = 'nobody@127.0.0.1', ssh_port = 1", 4, "no connection to host 127.0.0.1" },
      kubectl = { ("'kubectl', resource = 'svc/db', kubeconfig = %q"):format(refused), 4,
        "no connection to the cluster (127.0.0.1:1)" },
      aws = { "'aws_ssm', instance = 'i-0123456789abcdef0'", 2, "no region is named" },
    } do
      if process.find(program) then
        local ran = go(case[1], { AWS_REGION = false, AWS_DEFAULT_REGION = false, HOME = tmp.dir {} })
        assert.equal(case[2], ran.code, ran.stderr)
        assert.matches(case[3], ran.stderr, 1, true)
      end
    end
  end)

  it("R71 looks over a plain command line too, when it knows the program", function()
    local ran = go("cmd = { 'socat', 'TCP-LISTEN:1,fork', 'TCP:db:5432' }, port = 1")
    assert.equal(2, ran.code)
    assert.matches("listen on every address of this machine", ran.stderr, 1, true)
    assert.matches('allow = { "wildcard_address" }', ran.stderr, 1, true)
  end)
end)
