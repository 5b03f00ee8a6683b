local cjson = require "cjson"
local cli = require "spec.support.cli"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

---Writes a script and runs it.
local function run(text, options)
  options = options or {}
  local dir = options.dir or tmp.dir {}
  tmp.write(dir .. "/pipeline.lua", text)
  for name, more in pairs(options.files or {}) do tmp.write(dir .. "/" .. name, more) end
  return cli.run { "pipeline.lua", table.unpack(options.args or {}), cwd = dir, env = options.env,
    seconds = options.seconds }, dir
end

describe("a script", function()
  it("R1 need not be a pipeline: it may just use the database", function()
    local ran = run([[print(db.value "select 6 * 7", arg[1])]],
      { env = { DATABASE_URL = pg.database() }, args = { "x" } })
    assert.same({ 0, "42\tx\n", "" }, { ran.code, ran.stdout, ran.stderr })
  end)

  it("R139 never exits 0 for lack of memory", function()
    if fs.read("/proc/self/maps"):find("libasan", 1, true) then
      pending "the sanitizer's own memory does not fit into the limit"
      return
    end
    local dir = tmp.dir { ["s.lua"] = "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end" }
    local ran = process.run { cmd = { "sh", "-c", "ulimit -v 400000; exec \"$0\" s.lua", cli.program() }, cwd = dir }
    assert.is_true(ran.code ~= 0)
    assert.matches("not enough memory", ran.stderr, 1, true)
  end)

  it("may be named to run as well", function()
    local dir = tmp.dir { ["s.lua"] = "print(arg[1])" }
    assert.equal("x\n", cli.run({ "run", "s.lua", "x", cwd = dir }).stdout)
  end)

  it("may return an exit code", function() assert.equal(7, run("return 7").code) end)

  it("R1 exits 2 at a syntax error, naming file and line", function()
    local ran = run("local x =\n=")
    assert.equal(2, ran.code)
    assert.matches("^error: pipeline.lua:2: unexpected symbol", ran.stderr)
  end)

  it("R1 exits 2 with a traceback at a runtime error", function()
    local ran = run("local function boom() local t = nil; return t.x end\nboom()")
    assert.equal(2, ran.code)
    assert.matches("^error: pipeline.lua:1: attempt to index a nil value", ran.stderr)
    assert.matches("pipeline.lua:2: in main chunk", ran.stderr, 1, true)
  end)

  it("R143 requires files beside it, and only those", function()
    local ran = run([[print(require("lib.helper").answer)]],
      { files = { ["lib/helper.lua"] = "return { answer = 42 }" } })
    assert.same({ 0, "42\n" }, { ran.code, ran.stdout })
    assert.matches("module 'os' not found", run("require 'os'").stderr, 1, true)
  end)

  it("R142 sees no io, no os.execute and no debug unless --unsafe", function()
    assert.equal("nil\tnil\tnil\n", run("print(io, os.execute, debug)").stdout)
    local dir = tmp.dir { ["s.lua"] = "print(io ~= nil, os.execute ~= nil)" }
    assert.equal("true\ttrue\n", cli.run { "--unsafe", "s.lua", cwd = dir }.stdout)
  end)

  it("R139 cannot leave by os.exit", function()
    local ran = run("os.exit(0)")
    assert.equal(2, ran.code)
    assert.matches("os.exit is not available", ran.stderr, 1, true)
  end)

  it("R54 R139 is stopped at its deadline, even in a loop that catches everything", function()
    local ran = run("while true do pcall(function() while true do end end) end",
      { env = { MIGRATOR_DEADLINE = "300ms" }, seconds = 10 })
    assert.equal(2, ran.code)
    assert.matches("the script was still running when its deadline passed", ran.stderr, 1, true)
  end)

  it("R63 is told that there is no database when it asks for one", function()
    local ran = run([[db.exec "select 1"]])
    assert.equal(2, ran.code)
    assert.matches("DATABASE_URL is not set", ran.stderr, 1, true)
  end)

  it("names the script's line when a statement fails", function()
    local env = { DATABASE_URL = pg.database() }
    local ran = run("local x = 1\ndb.exec 'select 1/0'", { env = env })
    assert.same({ 1, 1 }, { ran.code, (ran.stderr:find("error: pipeline.lua:2: division by zero", 1, true)) })
    ran = run("db.transaction(function(conn)\n  conn:exec 'select 1/0'\nend)", { env = env })
    assert.matches("error: pipeline.lua:2: division by zero", ran.stderr, 1, true)
    ran = run("\nfs.read '/does/not/exist'")
    assert.matches("error: pipeline.lua:2: cannot read /does/not/exist", ran.stderr, 1, true)
  end)

  it("names the script's line when an argument is wrong", function()
    local env = { DATABASE_URL = pg.database() }
    assert.matches("^error: pipeline.lua:2: bad argument #1 to 'db.exec'", run("\ndb.exec()", { env = env }).stderr)
    assert.matches("^error: pipeline.lua:2: bad argument #1 to 'quote_ident'", run("\ndb.ident()").stderr)
    assert.matches("^error: pipeline.lua:1: bad argument #1 to 'db.transaction'",
      run("db.transaction()", { env = env }).stderr)
    assert.matches("^error: pipeline.lua:2: mine", run("db.transaction(function()\nerror 'mine' end)",
      { env = env }).stderr)
  end)

  it("shows the script's frames in a traceback, and all with --verbose", function()
    local ran = run("local function boom() local t = nil; return t.x end\nboom()")
    assert.is_nil(ran.stderr:find("[C]", 1, true))
    local dir = tmp.dir { ["s.lua"] = "error 'boom'" }
    assert.matches("[C]: in function 'error'", cli.run { "--verbose", "s.lua", cwd = dir }.stderr, 1, true)
  end)

  it("refuses names that are not there", function()
    local ran = run("return pipeline { steps.migrat {} }")
    assert.equal(2, ran.code)
    assert.matches("error: pipeline.lua:1: there is no steps.migrat\n", ran.stderr, 1, true)
    assert.matches("did you mean steps.migrate?", ran.stderr, 1, true)
    assert.matches("did you mean policy.verify.strict?", run("return policy.verify.strct").stderr, 1, true)
    assert.matches('no policy "strct"', run("return steps.verify { policy = 'strct' }").stderr, 1, true)
  end)

  it("raises typed errors that it can look at", function()
    local ran = run([[local ok, err = pcall(db.exec, "select 1/0") print(ok, err.code, err.sqlstate, err.statement)]],
      { env = { DATABASE_URL = pg.database() } })
    assert.equal("false\tsql\t22012\tselect 1/0\n", ran.stdout)
  end)
end)

describe("a pipeline", function()
  it("is an error when it was made but not returned, or has a field that is not known", function()
    local ran = run "pipeline { steps = { function() end } }"
    assert.equal(2, ran.code)
    assert.matches("a pipeline was made but not returned", ran.stderr, 1, true)
    ran = run [[return pipeline { deadlin = "1s", steps = { function() end } }]]
    assert.equal(2, ran.code)
    assert.matches('pipeline has no field "deadlin"', ran.stderr, 1, true)
  end)

  it("R131 hides secrets in what its programs print", function()
    local ran = run([[return pipeline { steps = { steps.secret { name = "DATABASE_URL", from = "env:DATABASE_URL" },
      steps.run { cmd = { "sh", "-c", "echo $DATABASE_URL" } }, function() ci.notice "s3cretpw" end } }]],
      { env = { DATABASE_URL = "postgresql://u:s3cretpw@127.0.0.1:1/x" } })
    assert.equal(0, ran.code)
    assert.not_matches("s3cretpw", ran.stdout .. ran.stderr, 1, true)
  end)

  it("R12 checks the chain before anything runs", function()
    local ran = run [[return pipeline { steps = { function() print "ran" end, steps.wait {} } }]]
    assert.same({ 2, "" }, { ran.code, ran.stdout })
    assert.matches('step "wait" needs "dsn", which no step before it gives', ran.stderr, 1, true)
  end)

  it("the limits of steps.migrate hold on the session of steps.wait too", function()
    local says = "do $$ begin raise warning 'lock % statement %', current_setting('lock_timeout'), "
      .. "current_setting('statement_timeout'); end $$"
    for _, before in ipairs { "", "steps.wait {}, " } do
      local dir = project.write { { "0000_a", says } }
      local ran = run(([[return pipeline { %ssteps.migrate { dir = %q, lock_timeout = "1234ms",
        statement_timeout = "77s" } }]]):format(before, dir), { env = { DATABASE_URL = pg.database() } })
      assert.equal(0, ran.code, ran.stderr)
      assert.matches("lock 1234ms statement 77s", ran.stderr, 1, true)
    end
  end)

  it("refuses an option that a step does not know, with the nearest one", function()
    local ran = run([[return pipeline { steps = { steps.migrate { lock_timout = "5s" } } }]],
      { env = { DATABASE_URL = "postgres:///x" } })
    assert.equal(2, ran.code)
    assert.matches('steps.migrate has no option "lock_timout"', ran.stderr, 1, true)
    assert.matches("lock_timeout", ran.stderr:match("hint: [^\n]*") or "", 1, true)
  end)

  it("R12 R13 stops at the first failure, undoes in reverse order and still reports", function()
    local ran = run [[
      local function step(name, fail)
        return { name = name, run = function() print("run " .. name) if fail then error("no") end end,
          undo = function() print("undo " .. name) end }
      end
      return pipeline { steps = { step "a", step "b", step("c", true), step "d", steps.report { "text" } } }]]
    assert.equal(2, ran.code)
    assert.matches("run a\nrun b\nrun c\nundo c\nundo b\nundo a\n", ran.stdout, 1, true)
    assert.matches("c     failed", ran.stdout, 1, true)
    assert.matches("d     not reached", ran.stdout, 1, true)
    assert.matches("step: c", ran.stderr, 1, true)
  end)

  it("keeps the first error when an undo fails too", function()
    local ran = run [[return pipeline { steps = { { name = "a", run = function() error("first") end,
      undo = function() error("second") end } } }]]
    assert.matches("error: pipeline.lua:1: first", ran.stderr, 1, true)
    assert.matches("undoing a also failed", ran.stderr, 1, true)
  end)

  it("R14 writes the report as JSON", function()
    local ran, dir = run [[return pipeline { steps = { function() end, steps.report { "json:out.json" } } }]]
    assert.equal(0, ran.code)
    assert.equal("ok", cjson.decode(fs.read(dir .. "/out.json")).steps[1].status)
  end)

  it("R95 migrates, verifies and seeds the sample project in production", function()
    local url = pg.database()
    local ran = cli.run { "scripts/pipeline.lua", env = { DATABASE_URL = url, NODE_ENV = "production",
      MIGRATOR_DIR = "spec/fixtures/trovella/migrations" } }
    assert.same({ 0, true }, { ran.code, ran.stdout:find("ai_model 4 created", 1, true) ~= nil })
    assert.matches("development  skipped", ran.stdout, 1, true)
  end)
end)

describe("steps.detect", function()
  local function git(dir, ...)
    local ran = process.run { cmd = { "git", "-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.org", ... } }
    assert.equal(0, ran.code, ran.stderr)
    return (ran.stdout:gsub("%s+$", ""))
  end

  local SCRIPT = [[return pipeline { steps = { steps.detect { paths = { "migrations/**" } },
    steps.migrate { dir = "migrations" }, function() print "went on" end } }]]

  local function push(dir, before)
    tmp.write(dir .. "/event.json", cjson.encode { before = before, after = git(dir, "rev-parse", "HEAD") })
    return { DATABASE_URL = nil, GITHUB_ACTIONS = "true", GITHUB_EVENT_NAME = "push", GITHUB_EVENT_PATH = dir
      .. "/event.json" }
  end

  local function repository()
    local dir = tmp.dir { ["pipeline.lua"] = SCRIPT, ["readme"] = "x" }
    project.write({ { "0000_a", "create table a ();" } }, dir .. "/migrations")
    git(dir, "init", "-q")
    git(dir, "add", ".")
    git(dir, "commit", "-qm", "one")
    local before = git(dir, "rev-parse", "HEAD")
    fs.write(dir .. "/readme", "y")
    git(dir, "commit", "-qam", "two")
    return dir, before
  end

  it("R121 R123 goes on when nothing changed but something is pending, and stops green when nothing is", function()
    if not process.find "git" then return pending("needs git") end
    local dir, before = repository()
    local env = push(dir, before)
    env.DATABASE_URL = pg.database()
    local ran = cli.run { "pipeline.lua", cwd = dir, env = env }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("Applied 1 new", ran.stdout, 1, true)
    assert.matches("went on", ran.stdout, 1, true)
    ran = cli.run { "pipeline.lua", cwd = dir, env = env }
    assert.equal(0, ran.code)
    assert.matches("No migration/schema/seed changes detected --- skipping.\n", ran.stdout, 1, true)
    assert.not_matches("went on", ran.stdout, 1, true)
  end)

  it("R122 R124 fails open without a base, and refuses a pattern that matches nothing", function()
    if not process.find "git" then return pending("needs git") end
    local dir = repository()
    local ran = run([[return pipeline { steps = { steps.detect { paths = { "migration/**" } } } }]], { dir = dir })
    assert.equal(2, ran.code)
    assert.matches("migration/**", ran.stderr, 1, true)
  end)
end)

describe("steps.proxy", function()
  local relay = [[
    local port = math.tointeger(tonumber(env.PORT))
    local host, back = env.DATABASE_URL_TARGET:match("^(.-):(%d+)$")
    return pipeline { steps = {
      steps.proxy { cmd = { "socat", "TCP-LISTEN:" .. port .. ",bind=127.0.0.1,fork,reuseaddr", env.FORWARD }, port = port },
      steps.wait { database = { every = "100ms", timeout = "5s" } },
      function(ctx) print(ctx:need("conn"):value("select 'through'"), ctx:need("dsn"):match("127.0.0.1:%d+") ~= nil) end,
    } }]]

  it("R55 R66 R70 R71 R73 rewrites the URL to go through it and stops it", function()
    if not process.find "socat" then return pending("needs socat") end
    local port = require("migrator.core.http").find_port()
    local socket = pg.server().socket_url:match("host=([^&]+)"):gsub("%%2[fF]", "/")
    local ran = run(relay:gsub("local host.-\n", ""), { env = { PORT = ("%d"):format(port),
      DATABASE_URL = "postgresql://postgres@db.example.org/postgres", FORWARD = "UNIX-CONNECT:" .. socket
        .. "/.s.PGSQL.5432" } })
    assert.equal("through\ttrue\n", ran.stdout, ran.stderr)
    assert.is_true(require("migrator.core.http").port_free(port))
  end)

  it("R67 ends at once when it dies, with its log", function()
    local ran = run([[return pipeline { steps = { steps.proxy { cmd = { "sh", "-c", "echo no quota project; exit 3" }, port = 1 },
      steps.wait { database = { timeout = "20s" } } } }]],
      { env = { DATABASE_URL = "postgresql://u@db.example.org/x" }, seconds = 10 })
    assert.equal(4, ran.code)
    assert.matches("no quota project", ran.stderr, 1, true)
  end)
end)
