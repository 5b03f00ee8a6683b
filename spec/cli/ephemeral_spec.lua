local cjson = require "cjson"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local fs = require "migrator.core.fs"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local TROVELLA = "spec/fixtures/trovella/migrations"
local COUNT = "psql -XAtc 'select count(*) from drizzle.__drizzle_migrations'"

describe("migrator ephemeral", function()
  it("runs a program with DATABASE_URL and libpq's variables, and answers with its exit code", function()
    local ran = cli.run { "ephemeral", "--", "sh", "-c",
      'psql -XAtc "select 40 + 2" "$DATABASE_URL"; psql -XAtc "select 43"; exit 7' }
    assert.same({ code = 7, stdout = "42\n43\n", stderr = "" }, ran)
  end)

  it("gives the program its words and its standard input as they are", function()
    local ran = cli.run { "ephemeral", "--", "sh", "-c", 'printf "%s|" "$@"; cat', "x", "--json", "a b", "--", "-h",
      stdin = "in" }
    assert.same({ code = 0, stdout = "--json|a b|--|-h|in", stderr = "" }, ran)
  end)

  it("answers 128 + n for a signal, and 2 when there is no such program", function()
    assert.equal(137, cli.run({ "ephemeral", "--", "sh", "-c", "kill -9 $$" }).code)
    local ran = cli.run { "ephemeral", "--", "no-such-program" }
    assert.equal(2, ran.code)
    assert.matches("no%-such%-program", ran.stderr)
    assert.equal(2, cli.run({ "ephemeral", "--" }).code)
  end)

  it("applies the migrations first with --migrated", function()
    local ran = cli.run { "ephemeral", "--migrated", "--dir", TROVELLA, "--", "sh", "-c", COUNT }
    assert.same({ code = 0, stdout = "10\n", stderr = "" }, ran)
  end)

  it("uses the port with --port", function()
    local ran = cli.run { "ephemeral", "--port", "--", "sh", "-c",
      'echo "$DATABASE_URL"; psql -XAtc "select inet_server_addr()"' }
    assert.matches("^postgresql://postgres@127%.0%.0%.1:%d+/postgres%?sslmode=disable\n127%.0%.0%.1\n$", ran.stdout)
  end)

  local function start(...)
    local log = tmp.dir() .. "/out"
    local child = cli.start { "ephemeral", "--quiet", log = log, ... }
    return child, wait.till(function()
      local text = fs.read(log)
      return text:find("\n", 1, true) and text
    end, 20), log
  end

  it("prints DATABASE_URL and waits; Ctrl-C ends it with 130 and no complaint", function()
    local child <close>, text, log = start()
    local dir = text:match("^DATABASE_URL=postgresql://postgres@/postgres%?host=([^&]+)&port=5432\n$")
    assert.truthy((fs.find(dir)))
    child:kill("INT")
    assert.equal(130, child:wait(clock.deadline(10)).code)
    assert.is_nil((fs.find(dir)))
    assert.equal(text, fs.read(log))
  end)

  it("prints one document with --json", function()
    local child <close>, text = start("--json", "--port")
    local found = cjson.decode(text)
    assert.equal(found.url, found.port_url)
    assert.is_true(process.is_running(found.pid))
    child:kill("TERM")
    assert.equal(143, child:wait(clock.deadline(10)).code)
    assert.is_false(process.is_running(found.pid))
  end)
end)

describe("--ephemeral", function()
  it("runs a command on a throw-away server, whatever DATABASE_URL says", function()
    local ran = cli.run { "migrate", "--ephemeral", "--dir", TROVELLA,
      env = { DATABASE_URL = "postgres://nowhere.invalid/x" } }
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("Migrations complete%. Applied 10 new migration%(s%)%.", ran.stdout)
  end)
end)
