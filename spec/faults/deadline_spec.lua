---A run holds its deadline whatever hangs: each case is a pipeline of two seconds with something that would take for ever.
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local hash = require "migrator.core.hash"
local http = require "migrator.core.http"
local marked = require "spec.support.marked"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local DEADLINE, SLACK = 2, 4 -- seconds; the slack is for stopping what hangs: grace, SIGKILL

describe("a pipeline's deadline (R54 R139)", function()
  local helpers = {}

  after_each(function()
    for _, child in ipairs(helpers) do child:stop() end
    helpers = {}
  end)

  local function help(cmd)
    local child = process.start { cmd = cmd, log = tmp.dir {} .. "/log" }
    helpers[#helpers + 1] = child
    return child
  end

  ---Runs steps with such a deadline.
  local function go(steps, fields)
    local dir, mark = tmp.dir {}, hash.random_hex(8)
    project.write(fields.list or { { "0000_a", "create table a (id int)" } }, dir .. "/migrations")
    tmp.write(dir .. "/p.lua", ("return pipeline { deadline = '%ds', steps = { %s } }"):format(DEADLINE, steps))
    local env = { [marked.NAME] = mark, DATABASE_URL = fields.url }
    for name, value in pairs(fields.env or {}) do env[name] = value end
    local options = { "p.lua", cwd = dir, env = env, seconds = 30 }
    local before = clock.now()
    local ran = fields.run and fields.run(options) or cli.run(options)
    local spent = clock.now() - before
    assert.is_true(spent < DEADLINE + (fields.slack or SLACK), ("%.1f s\n%s"):format(spent, ran.stderr))
    assert.equal(fields.code or 4, ran.code, ran.stderr)
    assert.matches(fields.says or "deadline", ran.stderr)
    assert.same({}, marked.find(mark))
    return ran
  end

  local SECRET = "steps.secret { name = 'DATABASE_URL', from = 'env:DATABASE_URL' },"
  local WAIT = SECRET .. " steps.wait { database = { timeout = '60s' } }"

  it("when a name server never answers", function()
    if process.user().uid ~= 0 or not process.find "unshare" or not process.find "socat" then
      return pending "needs root, unshare and socat"
    end
    local dir = tmp.dir { ["resolv.conf"] = "nameserver 127.77.77.77\n" }
    help { "socat", "-u", "UDP-RECV:53,bind=127.77.77.77", "OPEN:/dev/null" }
    local ran = process.run { cmd = { "unshare", "-m", "true" }, stderr = "null" }
    if ran.code ~= 0 then return pending "may not make a mount namespace here" end
    go(WAIT, { url = "postgresql://u@db.example.org/d", says = "db.example.org", run = function(options)
      return process.run { cmd = { "unshare", "-m", "sh", "-c",
        'mount --bind "$1" /etc/resolv.conf && cd "$2" && exec "$3" p.lua', "sh", dir .. "/resolv.conf", options.cwd,
        cli.program() }, env = cli.environment(options.env), deadline = clock.deadline(30) }
    end })
  end)

  it("when packets go nowhere", function()
    -- 192.0.2.0/24 is for documentation: nobody is there. Where a router says so at once, there is nothing to wait for.
    local before = clock.now()
    local answer = http.try_get("http://192.0.2.1:5432/", { deadline = clock.deadline(1) })
    if answer or clock.now() - before < 0.9 then return pending "the way to 192.0.2.1 is refused here, not silent" end
    go(WAIT, { url = "postgresql://u@192.0.2.1/d", says = "192.0.2.1" })
  end)

  it("when a server accepts and says nothing", function()
    local port = http.find_port()
    if not process.find "socat" then return pending "needs socat" end
    help { "socat", ("TCP-LISTEN:%d,bind=127.0.0.1,fork"):format(port), "EXEC:sleep 60" }
    wait.till(function() return not http.port_free(port) end, 5)
    for _, sslmode in ipairs { "disable", "require" } do
      go(WAIT, { url = ("postgresql://u@127.0.0.1:%d/d?sslmode=%s"):format(port, sslmode), says = "127.0.0.1" })
    end
  end)

  it("when a statement takes for ever, which is cancelled", function()
    local url = pg.database "deadline"
    go(WAIT .. ", steps.migrate {}", { url = url, list = { { "0000_slow", "select pg_sleep(60)" } } })
    local left = pg.admin():value [[select count(*) from pg_stat_activity where query like '%pg_sleep(60)%'
      and state = 'active' and pid <> pg_backend_pid()]]
    assert.equal(0, left)
  end)

  it("when another run holds the lock", function()
    local url = pg.database "deadline_lock"
    local other = require("migrator.db").connect(url)
    local dir = tmp.dir {}
    project.write({ { "0000_a", "select 1" } }, dir .. "/migrations")
    tmp.write(dir .. "/hold.lua", [[return pipeline { steps = { steps.secret { name = "DATABASE_URL", from = "env:DATABASE_URL" },
      steps.wait {}, steps.migrate { before = function() clock.sleep(20) end } } }]])
    local holder = cli.start { "hold.lua", cwd = dir, env = { DATABASE_URL = url }, log = dir .. "/log" }
    wait.till(function() return other:value "select count(*) from pg_locks where locktype = 'advisory'" > 0 end, 10)
    go(WAIT .. ", steps.migrate { wait = '60s' }", { url = url, says = "another run holds the lock.*deadline" })
    holder:stop()
    other:close()
  end)

  it("when a proxy is never ready and does not want to stop", function()
    go(SECRET .. [[ steps.proxy { cmd = { "sh", "-c", "trap '' TERM; while :; do sleep 1; done" }, port = ]]
      .. http.find_port() .. [[, grace = "500ms", ready = { url = "http://127.0.0.1:1/" } },
      steps.wait { proxy = { timeout = "60s" } }]], { url = "postgresql://u@h/d", says = "not ready" })
  end)

  it("when a program that knows the secret does not end", function()
    go("steps.secret { name = 'DATABASE_URL', from = 'cmd:sleep 60' }", { url = "postgresql://u@h/d" })
  end)

  it("when a program of a step does not end", function()
    go("steps.run { cmd = { 'sleep', '60' } }", { url = "postgresql://u@h/d" })
  end)

  it("when a service accepts and says nothing", function()
    local port = http.find_port()
    if not process.find "socat" then return pending "needs socat" end
    help { "socat", ("TCP-LISTEN:%d,bind=127.0.0.1,fork"):format(port), "EXEC:sleep 60" }
    wait.till(function() return not http.port_free(port) end, 5)
    go(("steps.http { url = 'http://127.0.0.1:%d/' }"):format(port), { url = "postgresql://u@h/d", says = "127.0.0.1" })
    go("steps.auth { provider = 'projects/1/locations/global/workloadIdentityPools/p/providers/q' }", {
      url = "postgresql://u@h/d", says = "OIDC", env = {
        ACTIONS_ID_TOKEN_REQUEST_URL = ("http://127.0.0.1:%d/"):format(port), ACTIONS_ID_TOKEN_REQUEST_TOKEN = "t" } })
  end)

  it("when a script sleeps, or runs in circles", function()
    go("function() clock.sleep(1000) end", { url = "postgresql://u@h/d" })
    go("function() while true do pcall(error) end end", { url = "postgresql://u@h/d", code = 2 })
  end)

  it("when nothing of ours is asked any more: hard, a quarter of a minute later", function()
    go("function() return (('a'):rep(40)):find(('a?'):rep(40) .. ('a'):rep(40) .. 'b') end",
      { url = "postgresql://u@h/d", says = "could not be stopped at its deadline", slack = 18 })
  end)
end)
