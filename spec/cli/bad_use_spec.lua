local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local function migrate(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

local function admin(text)
  local conn <close> = db.connect(pg.server().url)
  return conn:exec(text)
end

local function check(code, ran, ...)
  assert.same({ code, "" }, { ran.code, ran.code == code and "" or ran.stderr })
  for _, text in ipairs { ... } do assert.matches(text, ran.stderr, 1, true) end
end

-- One error, in one line, besides hints and the like that are indented.
local function check_clear(ran)
  assert.matches("^error: [^\n]+\n", ran.stderr)
  assert.equal(1, select(2, ("\n" .. ran.stderr):gsub("\n%l+: ", "")))
  assert.matches("\n  hint: ", ran.stderr, 1, true)
end

local function as_role(url, role, password)
  return (url:gsub("//postgres@", "//" .. role .. (password and ":" .. password or "") .. "@"))
end

local function overwrite(path, text) -- in place: the file belongs to the server's user
  assert(process.run({ cmd = { "sh", "-c", 'cat >"$1"', "sh", path }, input = text }).code == 0)
end

local function with_role(options, fn)
  local role = "migrator_test_" .. hash.random_hex(4)
  admin(("create role %s login %s"):format(role, options))
  local ok, err = pcall(fn, role)
  admin("drop role " .. role)
  if not ok then error(err, 0) end
end

describe("bad input, the server", function()
  local dir, url
  before_each(function() dir, url = project.write { { "0000_a", "create table a ();" } }, pg.database() end)

  it("that refuses the password: exit 4, one clear line and a hint", function()
    local hba = pg.server().dir .. "/data/pg_hba.conf"
    local before = fs.read(hba)
    with_role("password 'right'", function(role)
      overwrite(hba, ("local all %s scram-sha-256\n"):format(role) .. before)
      admin "select pg_reload_conf()"
      local ran = wait.till(function()
        local ran = migrate(as_role(url, role, "wrong-hush"), dir)
        return ran.stderr:find("28P01", 1, true) and ran
      end, 15)
      local right = cli.run { "status", "--dir", dir, "--url", as_role(url, role, "right") }
      local none = cli.run { "status", "--dir", dir, "--url", as_role(url, role), env = { HOME = dir } }
      overwrite(hba, before)
      admin "select pg_reload_conf()"
      check(4, ran, "password authentication failed", "hint: check the password")
      check_clear(ran)
      assert.not_matches("hush", ran.stderr, 1, true)
      check(0, right)
      check(4, none, "no password supplied")
    end)
  end)

  it("that has no such database: exit 4", function()
    local ran = migrate(url:gsub("migrator_test_%x+", "migrator_test_none"), dir)
    check(4, ran, 'database "migrator_test_none" does not exist', "hint: create the database")
    check_clear(ran)
  end)

  it("that has no such role: exit 4", function()
    check(4, migrate(as_role(url, "migrator_test_nobody"), dir), 'role "migrator_test_nobody" does not exist')
  end)

  it("that is not there, at a socket or a port: exit 4", function()
    check_clear(migrate("postgresql:///d?host=/nonexistent", dir))
    local port = require("migrator.core.http").find_port()
    for _, target in ipairs { "postgresql:///d?host=/nonexistent", ("postgresql://127.0.0.1:%d/d"):format(port) } do
      check(4, migrate(target, dir), "cannot connect", "hint: is the server running")
    end
  end)

  it("whose name nobody knows: exit 4", function()
    check(4, migrate("postgresql://u@none.invalid/d", dir), "cannot connect", "none.invalid")
  end)

  it("that has no connection left: exit 4, and waiting can help", function()
    with_role("connection limit 0", function(role)
      check(4, migrate(as_role(url, role), dir), "too many connections for role", "no free connection slot")
      local script = tmp.dir { ["s.lua"] = "local conn, err = db.try_connect(env.DATABASE_URL)\n"
        .. "print(conn, err.sqlstate, err.retry)" }
      local ran = cli.run { "s.lua", cwd = script, env = { DATABASE_URL = as_role(url, role) } }
      assert.same({ "nil\t53300\ttrue\n", "" }, { ran.stdout, ran.stderr })
    end)
  end)

  it("that takes no writes: exit 2, with a hint, nothing changed", function()
    local name = url:match "migrator_test_%x+"
    admin(("alter database %s set default_transaction_read_only = on"):format(name))
    check(2, migrate(url, dir), "the session is read-only", "hint: use the primary's address")
  end)

  it("whose disk is full (its error, raised by hand): exit 1, rolled back", function()
    local full = project.write { { "0000_a", "create table a ();" },
      { "0001_b", "do $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$" } }
    check(1, migrate(url, full), "could not extend file (53100)", "rolled back")
    local conn <close> = db.connect(url)
    assert.equal(0, conn:value "select count(*) from pg_tables where schemaname in ('public', 'drizzle')")
  end)

  describe("played by socat:", function()
    local function message(kind, body) return kind .. (">I4"):pack(#body + 4) .. body end

    -- A server that answers whoever starts up with these bytes.
    local function play(answer)
      local folder = tmp.dir { answer = answer }
      local socket = folder .. "/.s.PGSQL.5432"
      local server = process.start { cmd = { "socat", "UNIX-LISTEN:" .. socket .. ",fork",
        ("SYSTEM:head -c 9 >/dev/null; cat %s/answer; sleep 1"):format(folder) }, grace = 1 }
      wait.till(function() return fs.find(socket) end)
      return server, ("postgresql://u@/d?host=%s"):format(folder)
    end

    it("that is starting up: exit 4, and waiting can help", function()
      if not process.find "socat" then return pending "needs socat" end
      local server <close>, target = play(message("E",
        "SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"))
      local ran = migrate(target, dir)
      check(4, ran, "the database system is starting up", "57P03", "hint: the server is starting up")
      assert.is_true(server:alive())
    end)

    it("that is too old: exit 2, naming its version and ours", function()
      if not process.find "socat" then return pending "needs socat" end
      local server <close>, target = play(message("R", "\0\0\0\0") .. message("S", "server_version\0009.6.24\0")
        .. message("S", "client_encoding\0UTF8\0") .. message("Z", "I"))
      check(2, migrate(target, dir), "the server is PostgreSQL 9.6.24; 13 is the oldest")
      assert.is_true(server:alive())
    end)

    it("that is no PostgreSQL: exit 4", function()
      if not process.find "socat" then return pending "needs socat" end
      local server <close>, target = play "HTTP/1.1 400 Bad Request\r\n\r\n"
      check(4, migrate(target, dir), "cannot connect")
      assert.is_true(server:alive())
    end)
  end)
end)

describe("bad input, scripts", function()
  local function run(text, env)
    return cli.run { "s.lua", cwd = tmp.dir { ["s.lua"] = text }, env = env, seconds = 20 }
  end

  it("with a syntax error: exit 2 with file and line, nothing run", function()
    local ran = run "print 'ran'\nlocal = 1"
    check(2, ran, "error: s.lua:2:")
    assert.equal("", ran.stdout)
  end)

  it("with a runtime error: exit 2 with file, line and traceback", function()
    check(2, run "local function f() error('boom') end\nf()", "error: s.lua:1: boom", "traceback:",
      "s.lua:2: in main")
    check(2, run "error { odd = true }", "error value")
    check(2, run "return {}", "it returned a table")
  end)

  it("with a loop past the deadline: exit 2 with file and line", function()
    local ran = run("local n = 0\nwhile true do n = n + 1 end", { MIGRATOR_DEADLINE = "300ms" })
    check(2, ran, "s.lua:2:", "deadline")
  end)

  it("with os.exit: exit 2, and undo and report still run", function()
    for _, text in ipairs { "os.exit(0)", "error('x')", "local t t.x = 1", "while true do end" } do
      local ran = run(("return pipeline { steps = { { name = 'a', run = print, undo = function() print 'undone'"
        .. " end }, { name = 'b', run = function() %s end }, steps.report { 'text' } } }"):format(text),
        { MIGRATOR_DEADLINE = text:find("while") and "300ms" or nil })
      check(2, ran, "step: b")
      assert.matches("undone\n", ran.stdout, 1, true)
      assert.matches("b +failed", ran.stdout)
    end
  end)

  it("that blow the stack or the memory: exit 2", function()
    check(2, run "local function f() return 1 + f() end f()", "stack overflow")
    check(2, run "local s = ('x'):rep(1 << 40)", "error: ")
  end)

  it("that are precompiled: exit 2", function()
    check(2, run(string.dump(load "print 'ran'")), "binary chunk")
  end)

  it("that are not there: exit 2", function() check(2, cli.run { "/nonexistent/s.lua" }, "no such file") end)
end)

describe("bad input, the command line and the settings", function()
  local function run(options) return cli.run(options) end

  for name, case in pairs {
    ["a command"] = { { "migarte" }, 'unknown command "migarte"', "did you mean `migrator migrate`?" },
    ["a command far from all"] = { { "frobnicate" }, "unknown command", "`migrator help` lists" },
    ["an option"] = { { "migrate", "--lock-timout", "5s" },
      "unknown option '--lock-timout'", "id you mean '--lock-timeout'?" },
    ["a choice"] = { { "migrate", "--tx", "some" }, "'--tx' must be one of 'all', 'file', 'none'" },
    ["a duration"] = { { "migrate", "--lock-timeout", "soon", "--url", "x" }, "lock_timeout wants a time", '"soon"' },
    ["a variable's value"] = { { "migrate", env = { MIGRATOR_LOCK_TIMEOUT = "soon" } },
      "MIGRATOR_LOCK_TIMEOUT: lock_timeout wants a time" },
    ["a number"] = { { "migrate", "--tries", "nine" }, 'tries wants a whole number, got "nine"' },
    ["an option without its value"] = { { "migrate", "--dir" }, "'--dir' requires an argument" },
    ["an argument"] = { { "migrate", "extra" }, "too many arguments", "migrator help migrate" },
    ["a file of --config"] = { { "status", "--config", "/nonexistent.lua" }, "no such file: /nonexistent.lua" },
    ["a file of --env-file"] = { { "status", "--env-file", "/nonexistent.env" }, "no such file: /nonexistent.env",
      "hint: --env-file names it" },
    ["no DATABASE_URL"] = { { "migrate", "--dir", "spec/fixtures/trovella/migrations" }, "DATABASE_URL is not set",
      "hint: set DATABASE_URL", "--ephemeral" },
    ["an empty DATABASE_URL"] = { { "migrate", "--dir", "spec/fixtures/trovella/migrations",
      env = { DATABASE_URL = " " } }, "DATABASE_URL is not set" },
  } do
    it("exits 2 and says so: " .. name, function() check(2, run(case[1]), table.unpack(case, 2)) end)
  end

  for name, case in pairs {
    ["a key it does not know"] = { 'return { lock_timout = "5s" }', 'unknown setting "lock_timout"',
      'did you mean "lock_timeout"?', "migrator.config.lua" },
    ["a value of the wrong type"] = { "return { schema = 7 }", "migrator.config.lua: schema wants a text" },
    ["a syntax error"] = { "return {\n  x =\n}", "migrator.config.lua:3:" },
    ["a runtime error"] = { "local t\nreturn t.x", "migrator.config.lua:2:" },
    ["no table"] = { "return 1", "does not return a table", "migrator.config.lua" },
    ["what only the command line may say"] = { "return { ephemeral = true }", 'unknown setting "ephemeral"' },
    ["a call of what it does not see"] = { "os.exit(0)", "migrator.config.lua:1:" },
  } do
    it("exits 2 at a project file with " .. name, function()
      local ran = run { "status", cwd = tmp.dir { ["migrator.config.lua"] = case[1] } }
      check(2, ran, table.unpack(case, 2))
      assert.equal("", ran.stdout)
    end)
  end

  it("exits 2 at a malformed .env, naming its line and not its secret", function()
    local ran = run { "status", cwd = tmp.dir { [".env"] = "A=1\nDATABASE_URL='hush\n" } }
    check(2, ran, ".env:2:")
    assert.not_matches("hush", ran.stderr, 1, true)
  end)
end)
