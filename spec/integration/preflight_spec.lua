local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local standby = require "spec.support.standby"
local tmp = require "spec.support.tmp"

local ONE = { { "0000_a", "create table a (i int)" } }

---Runs a pipeline of these steps against a database, with a journal beside it.
local function pipeline(url, steps, options)
  options = options or {}
  local dir = tmp.dir { ["p.lua"] = "return pipeline { " .. steps .. " }" }
  project.write(options.journal or ONE, dir .. "/migrations")
  local env = { DATABASE_URL = url }
  for name, value in pairs(options.env or {}) do env[name] = value end
  return cli.run { "p.lua", cwd = dir, env = env }
end

local function tables(url)
  local conn <close> = db.connect(url)
  return conn:value "select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
end

---A role that may log in, with what else is given, and the URL as which it does.
local function login(url, name, grants)
  local conn <close> = db.connect(url)
  conn:exec("create role " .. name .. " login")
  for _, grant in ipairs(grants or {}) do conn:exec(grant) end
  return (url:gsub("//[^@/]*@", "//" .. name .. "@"))
end

local function forget(url, name)
  local conn <close> = db.connect(url)
  conn:exec("drop owned by " .. name)
  conn:exec("drop role " .. name)
end

describe("steps.preflight", function()
  it("R77 passes where everything is there, and the run goes on", function()
    local url = pg.database()
    local ran = pipeline(url, "steps.preflight {}, steps.migrate {}")
    assert.equal(0, ran.code, ran.stderr)
    assert.matches("info: preflight: %d+ checks", ran.stderr)
    assert.equal(1, tables(url))
  end)

  it("R77 R10 stops before the migration when the user lacks a privilege, with the grant", function()
    local url, name = pg.database()
    local there = login(url, name .. "_weak")
    local ran = pipeline(there, "steps.preflight {}, steps.migrate {}")
    assert.equal(2, ran.code)
    assert.matches("preflight: privileges: the user lacks create on the database", ran.stderr, 1, true)
    assert.matches("hint: grant create on database", ran.stderr, 1, true)
    assert.equal(0, tables(url))
    forget(url, name .. "_weak")
  end)

  it("R77 misses a role that a pending migration names, unless one makes it", function()
    local url = pg.database()
    local ran = pipeline(url, "steps.preflight {}, steps.migrate {}", { journal = { ONE[1],
      { "0001_grant", 'grant select on a to "no_such_reader"' } } })
    assert.equal(2, ran.code)
    assert.matches("preflight: roles: there is no role no_such_reader (named by 0001_grant)", ran.stderr, 1, true)
    assert.matches("hint: create role \"no_such_reader\"", ran.stderr, 1, true)
    ran = pipeline(url, "steps.preflight {}", { journal = {
      { "0000_r", "do $$ begin create role no_such_reader; end $$" },
      { "0001_g", "grant usage on schema public to no_such_reader; grant usage on schema public to public" } } })
    assert.equal(0, ran.code, ran.stderr)
  end)

  it("R77 checks the roles and extensions that the script names, and names all that is missing", function()
    local ran = pipeline(pg.database(), 'steps.preflight { roles = { "postgres", "absent_a" }, '
      .. 'extensions = { "plpgsql", "no_such_extension" } }')
    assert.equal(2, ran.code)
    assert.matches("no_such_extension is not available on the server", ran.stderr, 1, true)
    assert.matches("roles: there is no role absent_a", ran.stderr, 1, true)
  end)

  it("R77 stops when the server has no room for the run's connections, with 4", function()
    local url, name = pg.database()
    local there = login(url, name .. "_few", { ("alter role %s_few connection limit 2"):format(name),
      ("grant create on database %s to %s_few"):format(name, name) })
    local ran = pipeline(there, "steps.preflight {}, steps.migrate {}")
    assert.equal(4, ran.code, ran.stderr)
    assert.matches("connections: 1 free for this user (max_connections = ", ran.stderr, 1, true)
    assert.matches("the role's connection limit); a run needs up to 3 more", ran.stderr, 1, true)
    assert.equal(0, pipeline(there, "steps.preflight { connections = 2 }").code)
    forget(url, name .. "_few")
  end)

  it("R77 names the wrong database, and both", function()
    local url, name = pg.database()
    local ran = pipeline(url, 'steps.preflight { expect = { database = "shop" } }, steps.migrate {}')
    assert.equal(2, ran.code)
    assert.matches(("the database is %s, but shop was expected"):format(name), ran.stderr, 1, true)
    assert.equal(0, tables(url))
  end)

  it("R77 R63 says that no server answers, with 4", function()
    local ran = pipeline("postgres://nobody@127.0.0.1:1/none", "steps.preflight {}")
    assert.equal(4, ran.code)
    assert.matches("preflight: server: no server answers there", ran.stderr, 1, true)
  end)

  it("refuses options that are none", function()
    for steps, message in pairs { ["{ rolls = {} }"] = 'did you mean "roles"?',
      ["{ roles = { 1 } }"] = "roles wants a list of names",
      ["{ expect = { databse = 'x' } }"] = 'did you mean "database"?',
      ["{ expect = { database = 1 } }"] = "expect.database wants a text" } do
      local ran = pipeline("postgres://nobody@127.0.0.1:1/none", "steps.preflight " .. steps)
      assert.equal(2, ran.code)
      assert.matches(message, ran.stderr, 1, true)
    end
  end)
end)

describe("steps.migrate { expect }", function()
  it("R133 says where it is before anything changes, without a secret", function()
    local url, name = pg.database()
    local conn <close> = db.connect(url)
    local system = conn:value "select system_identifier::text from pg_control_system()"
    local ran = pipeline(url:gsub("postgres@", "postgres:hunter2secret@"), "steps.migrate {}")
    assert.equal(0, ran.code, ran.stderr)
    local said = ran.stderr:match "info: (database [^\n]*)"
    assert.matches(("^database %s as postgres on .*, PostgreSQL %%d.*, system %s$"):format(name, system), said)
    assert.is_nil((ran.stdout .. ran.stderr):find("hunter2secret", 1, true))
  end)

  it("R77 goes on when all agrees, the system identifier included", function()
    local url, name = pg.database()
    local conn <close> = db.connect(url)
    local ran = pipeline(url, ('steps.migrate { expect = { database = %q, user = "postgres", '
      .. 'system_identifier = %q } }'):format(name,
      conn:value "select system_identifier::text from pg_control_system()"))
    assert.equal(0, ran.code, ran.stderr)
  end)

  it("R77 refuses another database, user, host or cluster, naming both, and changes nothing", function()
    local url, name = pg.database()
    local facts = { database = name, user = "postgres", host = pg.server().dir, system_identifier = "%d+" }
    for field, found in pairs(facts) do
      local ran = pipeline(url, ('steps.migrate { expect = { %s = "other" } }'):format(field))
      assert.equal(2, ran.code)
      assert.matches(("the %s is %s, but other was expected"):format(field:gsub("_", " "), found:gsub("-", "%%-")),
        ran.stderr)
    end
    assert.equal(0, tables(url))
  end)

  it("R77 refuses when the cluster cannot be told, if it is asked for", function()
    local url, name = pg.database()
    local admin <close> = db.connect(url)
    admin:exec "revoke execute on function pg_control_system() from public"
    local there = login(url, name .. "_app", { ("grant create on database %s to %s_app"):format(name, name) })
    local ran = pipeline(there, 'steps.migrate { expect = { system_identifier = "1" } }')
    assert.equal(2, ran.code)
    assert.matches("the system identifier is not to be read by this user, but 1 was expected", ran.stderr, 1, true)
    ran = pipeline(there, "steps.migrate {}", { journal = { { "0000_n", "create schema n" } } })
    assert.equal(0, ran.code, ran.stderr)
    forget(url, name .. "_app")
  end)
end)

describe("a server in recovery", function()
  local function prepare(url)
    local ran = cli.run { "migrate", "--dir", project.write(ONE), "--url", url }
    assert.equal(0, ran.code, ran.stderr)
  end

  it("R126 R77 that follows a primary is a standby: neither migrated nor a reason to deploy", function()
    local server = standby.start(true, prepare)
    local ran = pipeline(server.url, "steps.preflight {}, steps.migrate {}")
    local gate = cli.run { "gate", "--dir", project.write(ONE), "--url", server.url }
    local primary = cli.run { "gate", "--dir", project.write(ONE), "--url", server.primary }
    server.stop()
    assert.same({ 2, 2, 0 }, { ran.code, gate.code, primary.code }, ran.stderr .. gate.stderr)
    assert.matches("preflight: pooler: the server is a read-only standby\n", ran.stderr, 1, true)
    assert.matches("the server is a read-only standby: what it has proves nothing of the primary", gate.stderr, 1, true)
  end)

  it("R77 that follows none is a restore: told apart from a standby", function()
    local server = standby.start(false, prepare)
    local ran = cli.run { "migrate", "--dir", project.write(ONE), "--url", server.url }
    server.stop()
    assert.equal(2, ran.code)
    assert.matches("the server is in recovery and follows no primary", ran.stderr, 1, true)
  end)
end)
