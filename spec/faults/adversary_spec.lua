---Faults that nobody would think of: answers of the wrong shape, credentials of the wrong type, pipes without another
---end, outputs that take nothing, proxies that leave something behind. Each: the right exit code, a cause in words, no
---traceback, no gate that is open.
local cjson = require "cjson"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local cloud = require "spec.support.cloud"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local http = require "migrator.core.http"
local marked = require "spec.support.marked"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local SECRET = "steps.secret { name = 'DATABASE_URL', from = 'env:DATABASE_URL' },"
local ALL = SECRET .. "steps.wait {}, steps.migrate {}, steps.gate {}, steps.report { 'text', 'github' }"

describe("a pipeline", function()
  local dir

  before_each(function() dir = tmp.dir {} end)

  local function write(steps, list)
    project.write(list or { { "0000_a", "create table a (id int)" } }, dir .. "/migrations")
    tmp.write(dir .. "/p.lua", ("return pipeline { deadline = '2s', steps = { %s } }"):format(steps))
  end

  local function run(env) return cli.run { "p.lua", cwd = dir, env = env, seconds = 30 } end

  local function check(ran, code, cause)
    assert.equal(code, ran.code, ran.stderr)
    if cause then assert.matches(cause, ran.stderr, 1, true) end
    assert.not_matches("traceback", ran.stderr, 1, true)
    local output = fs.find(dir .. "/output")
    if code ~= 0 and output and output.type == "file" then
      assert.not_matches("gate=pass", fs.read(dir .. "/output"), 1, true)
    end
  end

  local function run_in_shell(line, env)
    return process.run { cmd = { "sh", "-c", line, "sh", cli.program() }, cwd = dir, env = cli.environment(env),
      deadline = clock.deadline(30) }
  end

  describe("whose credentials are", function()
    local function external(changes)
      local file = { type = "external_account", credential_source = { file = "subject" }, subject_token_type = "x",
        audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q" }
      for name, value in pairs(changes) do file[name] = value end
      return file
    end

    local function refused(file, cause, more)
      tmp.write(dir .. "/credentials.json", cjson.encode(file))
      tmp.write(dir .. "/subject", "a.b.c")
      write "steps.auth {}"
      local env = cloud.job("http://127.0.0.1:1", { GOOGLE_APPLICATION_CREDENTIALS = "credentials.json" })
      for name, value in pairs(more or {}) do env[name] = value end
      check(run(env), 2, cause)
    end

    it("of the wrong type says which field", function()
      for _, name in ipairs { "subject_token_type", "service_account_impersonation_url", "client_id",
        "workforce_pool_user_project", "quota_project_id", "token_url" } do
        for _, value in ipairs { 5, { "x" } } do
          refused(external { [name] = value }, name .. " is not a text")
        end
        refused(external { [name] = "x\r\ny" }, name .. " has control characters in it")
      end
      refused({ type = "impersonated_service_account", source_credentials = external {}, delegates = 5,
        service_account_impersonation_url = "https://iamcredentials.googleapis.com/v1/x/serviceAccounts/a@b:g" },
        "delegates is not a list")
      refused(external { service_account_impersonation_url = "https://iamcredentials.googleapis.com/v1/" },
        "names no service account")
    end)

    it("a program that is not there, or says too much", function()
      local allowed = { GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES = "1" }
      refused(external { credential_source = { executable = { command = "/nonexistent/x" } } }, "cannot start", allowed)
      refused(external { credential_source = { executable = { command = "yes" } } }, "output is larger", allowed)
    end)

    it("a token of several words", function()
      write "steps.auth {}"
      check(run { GOOGLE_OAUTH_ACCESS_TOKEN = "ya29.x\nX-Evil: 1" }, 2, "is empty or has blanks in it")
    end)

    it("null where nothing was to be said", function()
      local small = cloud.small()
      if not small then return pending "needs python3" end
      tmp.write(dir .. "/credentials.json", cjson.encode(external { quota_project_id = cjson.null,
        token_url = cjson.null, client_id = cjson.null, service_account_impersonation_url = cjson.null,
        workforce_pool_user_project = cjson.null, subject_token_type = cjson.null }))
      tmp.write(dir .. "/subject", "a.b.c")
      write "steps.auth {}"
      check(run(cloud.job(small.url, { GOOGLE_APPLICATION_CREDENTIALS = "credentials.json" })), 0)
      small.handle:stop()
    end)
  end)

  it("takes no token that would begin another header, and no page for an answer", function()
    local small = cloud.small()
    if not small then return pending "needs python3" end
    write(("steps.auth { provider = %q, id_token = 'env:ID' }, steps.secret { name = 'S', from = 'sm://p/S' }"):format(
      cloud.PROVIDER))
    local env = cloud.job(small.url, { ID = "a.b.c" })
    for _, body in ipairs { { access_token = "ya29.x\r\nX-Evil: 1", expires_in = 3600 }, "<html>sign in</html>" } do
      small.say("sts.json", { status = 200, body = body })
      local ran = run(env)
      check(ran, 4, "cannot exchange the token: the answer has no usable token")
      assert.matches("hint: .*is something in between", ran.stderr)
    end
    small.say "sts.json"
    small.say("secret.json", { status = 200, body = "<html>sign in</html>" })
    check(run(env), 4, "the answer has no payload")
    small.say("sts.json", { status = 302, body = "" })
    check(run(env), 4, "cannot exchange the token: HTTP 302")
    small.say "sts.json"
    env.GOOGLE_CLOUD_QUOTA_PROJECT = "acme\r\nX-Evil: 1"
    check(run(env), 2, "what the header x-goog-user-project is to hold has control characters in it")
    small.handle:stop()
  end)

  it("refuses a secret that is longer than a server takes, before it dials", function()
    write(SECRET .. "steps.wait {}")
    check(run { DATABASE_URL = "postgresql://u@127.0.0.1:1/d?application_name=" .. ("x"):rep(20000) }, 2,
      "more than it takes")
  end)

  describe("R54 holds its deadline", function()
    local function fifo(path)
      assert.equal(0, process.run { cmd = { "mkfifo", path } }.code)
      return path
    end

    it("when a file is a pipe that nobody writes into", function()
      write(SECRET .. "steps.migrate {}")
      fs.remove(dir .. "/migrations/0000_a.sql")
      fifo(dir .. "/migrations/0000_a.sql")
      local before = clock.now()
      check(run { DATABASE_URL = "postgresql://u@127.0.0.1:1/d" }, 4, "0000_a.sql")
      assert.is_true(clock.now() - before < 6)
    end)

    it("when the file of the outputs is a pipe that nobody reads", function()
      write(ALL)
      fifo(dir .. "/output")
      local before = clock.now()
      check(run { DATABASE_URL = pg.database "adversary_fifo", GITHUB_ACTIONS = "true",
        GITHUB_OUTPUT = dir .. "/output" }, 2, "cannot append to")
      assert.is_true(clock.now() - before < 6)
    end)

    it("when a server never stops talking", function()
      if not process.find "socat" then return pending "needs socat" end
      local port = http.find_port()
      tmp.write(dir .. "/notices", ("N\0\0\0\35SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"):rep(20000))
      tmp.write(dir .. "/talk", "printf 'R\\0\\0\\0\\010\\0\\0\\0\\0'; while cat notices; do :; done")
      local server = process.start { cmd = { "socat", ("TCP-LISTEN:%d,bind=127.0.0.1,fork"):format(port),
        "EXEC:sh talk" }, cwd = dir, log = dir .. "/log" }
      wait.till(function() return not http.port_free(port) end, 5)
      write(SECRET .. "steps.wait { database = { timeout = '1s' } }")
      local before = clock.now()
      check(run { DATABASE_URL = ("postgresql://u@127.0.0.1:%d/d?sslmode=disable"):format(port) }, 4,
        "before the deadline")
      server:stop()
      assert.is_true(clock.now() - before < 6)
    end)

    it("and waits so long for who writes late", function()
      write("steps.secret { name = 'S', from = 'file:pipe' }, function(ctx) print(#ctx:need 'S') end")
      local path = fifo(dir .. "/pipe")
      local writer = process.start { cmd = { "sh", "-c", 'sleep 0.4; printf 12345678 > "$1"', "sh", path },
        log = dir .. "/log" }
      local ran = run {}
      writer:stop()
      check(ran, 0)
      assert.matches("8", ran.stdout, 1, true)
    end)
  end)

  describe("that cannot write", function()
    local url

    setup(function() url = pg.database "adversary_outputs" end)

    local function job(more)
      local env = { DATABASE_URL = url, GITHUB_ACTIONS = "true", GITHUB_OUTPUT = dir .. "/output" }
      for name, value in pairs(more or {}) do env[name] = value end
      return env
    end

    it("its summary says gate=fail", function()
      if not fs.find "/dev/full" then return pending "needs /dev/full" end
      write(ALL)
      check(run(job { GITHUB_STEP_SUMMARY = "/dev/full" }), 2, "cannot append to /dev/full")
      assert.matches("gate=fail", fs.read(dir .. "/output"), 1, true)
    end)

    it("its standard output does not succeed, and is no defect", function()
      if not fs.find "/dev/full" then return pending "needs /dev/full" end
      write(ALL)
      check(run_in_shell('"$1" p.lua >/dev/full', { DATABASE_URL = url }), 2, "standard output could not be written")
      check(run_in_shell('"$1" p.lua >&-', { DATABASE_URL = url }), 2, "standard output could not be written")
    end)

    it("files as large as they get says so, instead of being killed", function()
      write(ALL)
      check(run_in_shell('ulimit -f 0; "$1" p.lua', job()), 2, "File too large")
    end)
  end)

  it("is not well when the service says so in a word, behind a byte order mark, or in capitals", function()
    local small = cloud.small()
    if not small then return pending "needs python3" end
    write(("steps.http { url = '%s/v1/token', timeout = '300ms', every = '100ms' }"):format(small.url))
    for said, body in pairs { ["it says Degraded"] = "Degraded", ["its Status is DOWN"] = { Status = "DOWN" },
      ["its status is down"] = '\239\187\191{"status":"down"}' } do
      small.say("sts.json", { status = 200, body = body })
      check(run {}, 1, said)
    end
    small.say("sts.json", { status = 200, body = "OK" })
    check(run {}, 0)
    small.handle:stop()
  end)

  it("R67 stops what a proxy left behind in another session", function()
    if not process.find "setsid" then return pending "needs setsid" end
    local mark = hash.random_hex(8)
    write(SECRET .. ([[steps.proxy { cmd = { "sh", "-c", "setsid sleep 300 & exec sleep 300" }, port = %d },
      function() clock.sleep(0.3) end]]):format(http.find_port()))
    check(run { DATABASE_URL = "postgresql://u@h/d", [marked.NAME] = mark }, 0)
    assert.same({}, marked.find(mark))
  end)

  it("refuses COPY TO STDOUT before it changes anything", function()
    write(ALL, { { "0000_a", "create table a (id int)" }, { "0001_b", "copy a to stdout" } })
    check(run { DATABASE_URL = pg.database "adversary_copy" }, 2, "COPY TO STDOUT gives rows to psql")
  end)
end)
