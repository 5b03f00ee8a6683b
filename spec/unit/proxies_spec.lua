local causes = require "migrator.proxies.causes"
local cloud_sql = require "migrator.proxies.cloud_sql"
local errors = require "migrator.error"
local holder = require "migrator.proxies.holder"
local http = require "migrator.core.http"
local process = require "migrator.core.process"
local proxies = require "migrator.proxies"
local steps = require "migrator.steps"
local tmp = require "spec.support.tmp"

local INSTANCE = "trovella-prod:us-central1:trovella-prod"

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

---The command line of a preset, as one text, and its environment.
local function command(name, options)
  local preset = proxies.get(name)
  local o = { host = "127.0.0.1", port = 5432, http_port = 9801, program = preset.programs[1],
    target = "db.internal:5432" }
  for key, value in pairs(options) do o[key] = value end
  proxies.check(preset, o)
  local cmd, env = preset.command(o)
  return table.concat(cmd, " "), env, preset.ready(o), cmd
end

---The rules that speak against a command line.
local function rules(cmd, options)
  local out = {}
  for _, finding in ipairs(proxies.lint(proxies.of_command(cmd), cmd, options or {})) do
    out[#out + 1] = finding.rule .. " " .. finding.severity
  end
  return out
end

describe("proxies.command", function()
  it("gives cloud-sql-proxy the founding pipeline's flags, and the token by environment alone (R71)", function()
    local line, env, ready = command("cloud_sql", { instance = INSTANCE, token = "ya29.secret" })
    assert.equal("cloud-sql-proxy --address 127.0.0.1 --port 5432 --health-check --http-address 127.0.0.1 "
      .. "--http-port 9801 "
      .. "--run-connection-test --quota-project trovella-prod " .. INSTANCE, line)
    assert.same({ CSQL_PROXY_TOKEN = "ya29.secret" }, env)
    assert.same({ url = "http://127.0.0.1:9801/readiness", timeout = 60 }, ready)
  end)

  it("takes the quota project of a domain's project, another one, or none", function()
    assert.matches("--quota-project example.com:app e", command("cloud_sql", { instance = "example.com:app:eu:db" }),
      1, true)
    assert.matches("--quota-project billing ", command("cloud_sql", { instance = INSTANCE,
      quota_project = "billing" }), 1,
      true)
    assert.not_matches("quota", command("cloud_sql", { instance = INSTANCE, quota_project = false }), 1, true)
  end)

  it("drives version 1 with what it has", function()
    local line, env, ready = command("cloud_sql", { instance = INSTANCE, major = 1, program = "cloud_sql_proxy",
      private_ip = true, endpoint = "https://sqladmin.example.org" })
    assert.equal("cloud_sql_proxy -instances=" .. INSTANCE .. "=tcp:127.0.0.1:5432 -host=https://sqladmin.example.org/ "
      .. "-ip_address_types=PRIVATE", line)
    assert.same({}, env)
    assert.same({ log = "Ready for new connections" }, ready)
  end)

  it("makes the others' command lines (R66)", function()
    assert.equal("ssh -N -T -o BatchMode=yes -o ExitOnForwardFailure=yes -o ConnectTimeout=10 -o "
      .. "ServerAliveInterval=10 "
      .. "-o ServerAliveCountMax=3 -L 127.0.0.1:5432:db.internal:5432 -p 2222 ops@bastion",
      (command("ssh", { to = "ops@bastion", ssh_port = 2222 })))
    local line, _, ready = command("kubectl", { resource = "svc/db", namespace = "prod" })
    assert.equal("kubectl port-forward --address 127.0.0.1 --namespace prod svc/db 5432:5432", line)
    assert.same({ log = "Forwarding from 127.0.0.1:5432" }, ready)
    for _, target in ipairs { "db.internal", "/run/.s.PGSQL.5432", ":5432" } do
      assert.equal("config", raised(command, "aws_ssm", { instance = "i-0abc", target = target }).code)
    end
    local _, _, _, cmd = command("aws_ssm", { instance = "i-0abc", region = "eu-west-1" })
    assert.equal('{"host":["db.internal"],"portNumber":["5432"],"localPortNumber":["5432"]}', cmd[9])
    assert.equal("socat TCP-LISTEN:5432,bind=127.0.0.1,reuseaddr,fork UNIX-CONNECT:/run/pg/.s.PGSQL.5432",
      (command("socat", { target = "/run/pg/.s.PGSQL.5432" })))
    assert.equal("pgbouncer /etc/pb.ini", (command("pgbouncer", { config = "/etc/pb.ini" })))
  end)

  it("takes no option for a name: nothing that begins with a dash", function()
    for name, options in pairs { ssh = { to = "-oProxyCommand=sh" }, kubectl = { resource = "--kubeconfig=/x" },
      cloud_sql = { instance = "-a:b:c" }, socat = { target = "-x" } } do
      assert.matches("would be taken for an option", raised(command, name, options).message, 1, true)
    end
  end)

  it("refuses a malformed instance and an endpoint that would see the token", function()
    for _, instance in ipairs { "foo", "a:b", "a:b:c d", "p:r:i?port=1", "" } do
      assert.is_true(errors.is(raised(command, "cloud_sql", { instance = instance }), "config"))
    end
    local err = raised(command, "cloud_sql", { instance = INSTANCE, endpoint = "http://api.example.org" })
    assert.matches("must be https", err.message, 1, true)
    assert.matches("http://127.0.0.1:8", command("cloud_sql", { instance = INSTANCE,
      endpoint = "http://127.0.0.1:8" }), 1,
      true)
  end)
end)

describe("proxies.version_of", function()
  it("tells version 2 from version 1", function()
    assert.same({ 2, "2.27.0" }, { cloud_sql.version_of("cloud-sql-proxy version 2.27.0\n") })
    assert.same({ 2, "2.8.1+linux" }, { cloud_sql.version_of("cloud-sql-proxy version 2.8.1+linux") })
    assert.same({ 1, "NO_VERSION_SET" }, { cloud_sql.version_of("Cloud SQL Proxy: NO_VERSION_SET") })
    assert.same({}, { cloud_sql.version_of("GNU coreutils 9.1") })
  end)

  it("refuses a program that is another one, or not there", function()
    local err = raised(cloud_sql.examine, { program = "true" })
    assert.equal("true is not cloud-sql-proxy: it does not tell its version", err.message)
    assert.matches("cannot start no-such-proxy", raised(cloud_sql.examine, { program = "no-such-proxy" }).message, 1,
      true)
  end)
end)

describe("proxies.lint", function()
  it("finds what a cloud-sql-proxy command line lacks (R71)", function()
    assert.same({ "connection_test warning", "quota_project warning" }, rules { "cloud-sql-proxy", INSTANCE })
    assert.same({ "health_check warning" }, rules { "/opt/cloud-sql-proxy", "--run-connection-test",
      "--quota-project=p",
      "--http-port", 9801, INSTANCE })
    assert.same({}, rules { "cloud-sql-proxy", "--run-connection-test", "--quota-project", "p", "--health-check",
      INSTANCE })
    assert.same({ "connection_test warning" }, rules { "cloud-sql-proxy", "--run-connection-test=false",
      "--quota-project=p",
      INSTANCE })
  end)

  it("finds TLS inside TLS (R56)", function()
    local found = proxies.lint(cloud_sql, { "cloud-sql-proxy", INSTANCE }, { sslmode = "require",
      allow = { "connection_test", "quota_project" } })
    assert.same({ "double_tls", "error" }, { found[1].rule, found[1].severity })
    assert.same({}, rules({ "ssh", "-o", "ExitOnForwardFailure=yes", "-L", "5432:db:5432", "h" },
      { sslmode = "require" }))
  end)

  it("finds a token on the command line", function()
    for _, word in ipairs { "--token=x", "-t", "--json-credentials={}" } do
      assert.same({ "connection_test warning", "quota_project warning", "token_in_argv error" },
        rules { "cloud-sql-proxy", word, "x", INSTANCE })
    end
    assert.same({ "version_1 warning", "token_in_argv error" }, rules { "cloud_sql_proxy", "-token=x" })
  end)

  it("finds an address that the whole network reaches, of every program", function()
    local allow = { "connection_test", "quota_project", "version_1", "forward_failure" }
    for _, cmd in ipairs {
      { "cloud-sql-proxy", "--address=0.0.0.0", INSTANCE }, { "cloud-sql-proxy", "-a", "::", INSTANCE },
      { "cloud-sql-proxy", INSTANCE .. "?address=0.0.0.0" },
      { "cloud_sql_proxy", "-instances=" .. INSTANCE .. "=tcp:0.0.0.0:5432" },
      { "ssh", "-L", "0.0.0.0:5432:db:5432", "h" }, { "ssh", "-g", "-L", "5432:db:5432", "h" },
      { "ssh", "-L", "*:5432:db:5432", "h" }, { "ssh", "-oGatewayPorts=yes", "-L", "5432:db:5432", "h" },
      { "kubectl", "port-forward", "--address", "0.0.0.0", "svc/db", "5432" },
      { "socat", "TCP-LISTEN:5432,fork", "TCP:db:5432" }, { "socat", "tcp4-l:5432,bind=0.0.0.0", "TCP:db:5432" },
    } do
      assert.same({ "wildcard_address error" }, rules(cmd, { allow = allow }), table.concat(cmd, " "))
    end
    for _, cmd in ipairs {
      { "ssh", "-L", "127.0.0.1:5432:db:5432", "h" }, { "kubectl", "port-forward", "svc/db", "5432" },
      { "socat", "TCP-LISTEN:5432,bind=127.0.0.1,fork", "TCP:db:5432" },
    } do
      assert.same({}, rules(cmd, { allow = allow }), table.concat(cmd, " "))
    end
  end)

  it("finds a host key that nobody checks", function()
    assert.same({ "host_key error", "forward_failure warning" },
      rules { "ssh", "-oStrictHostKeyChecking=no", "-L", "127.0.0.1:5432:db:5432", "h" })
  end)

  it("finds a pooler of transactions before it starts (R60)", function()
    local path = tmp.dir {} .. "/pb.ini"
    tmp.write(path, "[databases]\n* = host=db\n[pgbouncer]\nlisten_addr = *\nlisten_port = 6432\npool_mode = "
      .. "transaction\n")
    assert.same({ "pool_mode error", "wildcard_address error", "listen_port error" },
      rules({ "pgbouncer", path }, { port = 5432 }))
    tmp.write(path, "[databases]\n* = host=db pool_mode=statement\n[pgbouncer]\nlisten_port = 5432\n")
    assert.same({ "pool_mode error" }, rules({ "pgbouncer", path }, { port = 5432 }))
    tmp.write(path, "[databases]\n* = host=db\n[pgbouncer]\nlisten_port = 5432\nlisten_addr = "
      .. "127.0.0.1\npool_mode=session\n")
    assert.same({}, rules({ "pgbouncer", path }, { port = 5432 }))
  end)

  it("refuses errors and says warnings; what is allowed is neither", function()
    local said = {}
    local function warn(text) said[#said + 1] = text end
    local cmd = { "cloud-sql-proxy", "--address=0.0.0.0", INSTANCE }
    local err = raised(proxies.insist, proxies.lint(cloud_sql, cmd, {}), warn)
    assert.is_true(errors.is(err, "config"))
    assert.matches("not started: it would listen on every address", err.message, 1, true)
    assert.matches('allow = { "wildcard_address" }', err.hint, 1, true)
    assert.equal(2, #said)
    proxies.insist(proxies.lint(cloud_sql, cmd, { allow = { "wildcard_address" } }), warn)
    assert.equal(4, #said)
  end)
end)

-- Lines of real programs: cloud-sql-proxy 2.27.0 (v2) and 2.13, version 1.17 (v1), OpenSSH 9.2, kubectl 1.32, aws 1.45,
-- socat 1.7, PgBouncer 1.18.
local LOGS = {
  cloud_sql = {
    { "2026/11/21 15:51:38 The proxy has encountered a terminal error: failed to get instance: refresh error: "
      .. "failed to get "
      .. 'instance metadata (connection name = "p:r:i"): googleapi: Error 403: Cloud SQL Admin API has not been '
      .. 'used in '
      .. "project trovella-prod before or it is disabled. Enable it by visiting https://x then "
      .. "retry.\nDetails:\n[\n  {\n"
      .. '    "reason": "SERVICE_DISABLED"\n  }\n]\n, accessNotConfigured', "api_disabled",
      "the Cloud SQL Admin API is not enabled (project trovella-prod)" },
    { "googleapi: Error 403: Caller does not have required permission to use project trovella-prod. Grant the "
      .. "caller the "
      .. 'roles/serviceusage.serviceUsageConsumer role\n    "reason": "USER_PROJECT_DENIED"\n, forbidden',
        "quota_denied",
      "the identity may not use the quota project (trovella-prod)" },
    { 'googleapi: Error 400: Project \'projects/x\' not found or deleted.\n "reason": "USER_PROJECT_DENIED"',
      "quota_denied" },
    { "googleapi: Error 404: The Cloud SQL instance does not exist., instanceDoesNotExist", "instance_not_found" },
    { "googleapi: Error 403: The client is not authorized to make this request., notAuthorized", "permission_denied" },
    { "googleapi: Error 401: Request had invalid authentication credentials. Expected OAuth 2 access token",
      "token_refused" },
    { "failed to get instance: config error: provided region was mismatched - got us-central1, want europe-west1 "
      .. '(connection name = "p:r:i")', "wrong_region",
        "the instance is not in region us-central1, but in europe-west1" },
    { 'for connection string "p:r:i": got region "us-central1", want "europe-west1"', "wrong_region" },
    { 'config error: instance does not have IP of type "PUBLIC" (connection name = "p:r:i")', "no_such_ip",
      "the instance has no PUBLIC address" },
    { '{"severity":"ERROR","message":"config error: instance does not have IP of type \\"PUBLIC\\" (connection"}',
      "no_such_ip", "the instance has no PUBLIC address" },
    { 'config error: invalid connection name, expected PROJECT:REGION:INSTANCE format or valid DNS domain name '
      .. '(connection '
      .. 'name = "foo")', "malformed_instance", "foo is not the name of an instance" },
    { 'Config error: invalid instance connection name, expected PROJECT:REGION:INSTANCE (connection name = "foo")',
      "malformed_instance" },
    { '\tinvalid instance connection string: must be in the form `project:region:instance-name`; invalid name '
      .. 'was "foo"',
      "malformed_instance", "foo is not the name of an instance" },
    { 'dial error: failed to verify certificate (connection name = "p:r:i"): tls: failed to verify certificate: x509: '
      .. "certificate signed by unknown authority", "server_certificate" },
    { 'dial error: certificate had CN "p:somebody-else", expected "p:i" (connection name = "p:r:i")',
      "server_certificate" },
    { "[p:r:i] connection aborted - error reading from instance: remote error: tls: unknown certificate authority",
      "client_certificate", "the instance refused the proxy's certificate (unknown certificate authority)" },
    { 'Reading data from p:r:i had error: remote error: tls: bad certificate', "client_certificate" },
    { 'dial error: handshake failed (connection name = "p:r:i"): EOF', "tls_cut" },
    { 'couldn\'t connect to "p:r:i": read tcp 127.0.0.1:52858->127.0.0.11:3307: read: connection reset by peer',
      "tls_cut" },
    { 'dial error: failed to dial (connection name = "p:r:i"): dial tcp 127.0.0.10:3307: connect: connection refused',
      "port_3307_blocked", "no connection to the instance at 127.0.0.10:3307" },
    { 'dial error: failed to dial (connection name = "p:r:i"): dial tcp 34.1.2.3:3307: i/o timeout',
      "port_3307_blocked" },
    { 'Get "http://127.0.0.1:1/sql/v1beta4/projects/p/instances/i/connectSettings?alt=json": dial tcp '
      .. '127.0.0.1:1: connect: '
      .. "connection refused", "api_unreachable", "no connection to the Cloud SQL Admin API (127.0.0.1:1)" },
    { "unable to start: [p:r:i] Unable to mount socket: listen tcp4 127.0.0.1:5432: bind: address already in use",
      "port_in_use", "its port is in use by another program (127.0.0.1:5432)" },
    { "failed to start HTTP server: listen tcp 127.0.0.1:9801: bind: address already in use", "port_in_use" },
    { "failed to create default credentials: credentials: could not find default credentials. See https://x",
      "no_credentials" },
    { "the default Compute Engine service account is not configured with sufficient permissions to access the "
      .. "Cloud SQL API",
      "permission_denied" },
    { "googleapi: Error 503: The service is currently unavailable., backendError", "api_unavailable",
      "the Cloud SQL Admin API is not available (HTTP 503)" },
    { "Error: unknown flag: --nope\nUsage:\n", "bad_flag", "it does not take its arguments (--nope)" },
    { "flag provided but not defined: -nope\nUsage of cloud_sql_proxy:", "bad_flag" },
    { "Error: cannot specify --json-credentials and --token flags at the same time", "bad_flag" },
    { 'Error: not a valid IP address: "localhost:1"', "bad_flag" },
    { "[p:r:i] instance closed the connection", "instance_hung_up", "the instance hung up" },
    { "Connection test failed", "connection_test_failed" },
    { "panic: runtime error: invalid memory address", "crashed" },
  },
  ssh = {
    { "ssh: Could not resolve hostname nohost.invalid: Name or service not known", "no_such_host",
      "a host name cannot be resolved (nohost.invalid)" },
    { "ssh: connect to host 127.0.0.1 port 1: Connection refused", "host_unreachable" },
    { "ops@h: Permission denied (publickey).", "login_refused" },
    { "Host key verification failed.", "host_key" },
    { "bind [127.0.0.1]:5432: Address already in use\nchannel_setup_fwd_listener_tcpip: cannot listen to port: 5432\n"
      .. "Could not request local forwarding.", "forward_refused" },
    { "channel 2: open failed: connect failed: Connection refused", "target_unreachable" },
  },
  kubectl = {
    { "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
      "cluster_unreachable" },
    { 'error: error loading config file "/nonexistent": read /nonexistent: is a directory', "no_config" },
    { 'Error from server (NotFound): services "db" not found', "not_found",
      'the cluster does not have it: services "db" not found' },
    { "error: lost connection to pod", "lost" },
  },
  aws_ssm = {
    { 'You must specify a region. You can also configure your region by running "aws configure".', "no_region" },
    { "SessionManagerPlugin is not found. Please refer to SessionManager Documentation", "no_plugin" },
    { "An error occurred (TargetNotConnected) when calling the StartSession operation: i-1 is not connected.",
      "not_connected" },
  },
  socat = {
    { "2026/11/21 15:58:41 socat[32060] E bind(5, {AF=2 127.0.0.1:28081}, 16): Address already in use", "port_in_use",
      "its port is in use by another program (127.0.0.1:28081)" },
    { "2026/11/21 16:00:00 socat[1] E connect(5, AF=2 127.0.0.1:1, 16): Connection refused", "target_unreachable",
      "no connection to the target (127.0.0.1:1: Connection refused)" },
  },
  pgbouncer = {
    { "2026-11-21 15:58:49.135 UTC [32540] FATAL PgBouncer should not run as root", "as_root" },
    { '2026-11-21 15:58:49.148 UTC [32543] ERROR could not load file "/x.ini": No such file or directory',
      "bad_config" },
    { "WARNING cannot listen on 127.0.0.1:28081: bind(): Address already in use", "port_in_use" },
  },
}

describe("proxies.causes", function()
  for name, lines in pairs(LOGS) do
    it(("recognises the reasons in %s's logs (R67)"):format(name), function()
      for _, case in ipairs(lines) do
        local found = causes.recognise("2026/11/21 starting\n" .. case[1] .. "\n", proxies.get(name).causes)
        assert.equal(case[2], found and found.name, case[1])
        if case[3] then assert.equal(case[3], found.why) end
        assert.not_matches("[{}]", found.why .. (found.hint or ""))
      end
    end)
  end

  it("says nothing of a log that tells nothing, or of none", function()
    assert.is_nil(causes.recognise("2026/11/21 Connection test passed\n", cloud_sql.causes))
    assert.is_nil(causes.recognise("", cloud_sql.causes))
    assert.is_nil(causes.recognise(nil))
  end)

  it("shows a line in part when it is a page, and takes a hostile one", function()
    local found = causes.recognise(("x"):rep(9000) .. "Error 404: \0\27[31m::error::\n" .. "y Error 404:"
      .. ("z"):rep(2000),
      cloud_sql.causes)
    assert.equal("instance_not_found", found.name)
    assert.is_true(#found.line <= 300)
  end)

  it("every cause has a name, a why and patterns that compile", function()
    for _, name in ipairs(proxies.NAMES) do
      for _, cause in ipairs(proxies.get(name).causes) do
        assert.is_string(cause.name)
        assert.is_string(cause.why)
        for _, pattern in ipairs(cause.patterns) do assert.is_true(pcall(string.find, "x", pattern), pattern) end
      end
    end
  end)
end)

describe("proxies.holder", function()
  it("names who listens on a port (R72)", function()
    if not process.find "socat" or not (process.find "ss" or process.find "lsof") then
      return pending("needs socat, and ss or lsof")
    end
    local port = http.find_port()
    local child <close> = process.start { cmd = { "socat", ("TCP-LISTEN:%d,bind=127.0.0.1"):format(port), "-" } }
    require("spec.support.wait").till(function() return not http.port_free(port) end)
    assert.equal(("socat (pid %d)"):format(child:pid()), holder.find(port))
    assert.is_nil(holder.find(http.find_port()))
  end)
end)

describe("steps.proxy of a preset", function()
  it("knows its options by name, before anything runs", function()
    assert.matches('no proxy preset "cloudsql"', raised(steps.proxy, { preset = "cloudsql" }).message, 1, true)
    assert.matches('needs the option "instance"', raised(steps.proxy, { "cloud_sql" }).message, 1, true)
    assert.matches('no option "instanse"', raised(steps.proxy, { preset = "cloud_sql", instanse = "x" }).message, 1,
      true)
    assert.equal("proxy", steps.proxy({ "cloud_sql", instance = INSTANCE }).name)
    assert.matches('needs the option "port"', raised(steps.proxy, { cmd = { "true" } }).message, 1, true)
  end)
end)
