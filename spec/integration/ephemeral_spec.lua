-- alone: it damages the template that all throw-away servers are copied from
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local errors = require "migrator.error"
local find = require "migrator.ephemeral.find"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

local function with_environment(changes, fn)
  local before = host.environment()
  for name, value in pairs(changes) do host.setenv(name, value) end
  local ok, err = pcall(fn)
  for name in pairs(changes) do host.setenv(name, before[name]) end
  if not ok then error(err, 0) end
end

---The one template there is; those of other servers are made anew when they are wanted.
local function template()
  local user = find.user()
  local uid = process.run({ cmd = { "id", "-u", user or process.user().name } }).stdout:match("%d+")
  for _, folder in ipairs { find.cache(user), "/tmp/migrator-cache-" .. uid } do
    for _, name in ipairs(fs.find(folder) and fs.list(folder) or {}) do
      if name:find("%-1$") and not name:find("broken") then return folder .. "/" .. name end
    end
  end
end

describe("ephemeral.start", function()
  it("gives a superuser session in UTF8, C.UTF-8 and UTC, through a socket only", function()
    local server <close> = ephemeral.start()
    assert.is_true(server:alive())
    assert.is_nil(server.port_url)
    assert.equal(server.socket_url, server.url)
    local conn <close> = db.connect(server.url)
    assert.same({ "postgres", "postgres", true, "UTF8", "C.UTF-8", "UTC", "", "off" },
      { conn:value("select current_user"),
      conn:value("select current_database()"), conn:value("select rolsuper from pg_roles where rolname = current_user"),
      conn:value("show server_encoding"), conn:value("show lc_collate"), conn:value("show timezone"),
      conn:value("show listen_addresses"), conn:value("show fsync") })
    assert.equal(server.version, conn:value("show server_version"):match("^%S+"))
    assert.equal(448, fs.find(server.dir).mode)
  end)

  it("opens a free port of the loopback interface when asked", function()
    local first <close> = ephemeral.start { port = true }
    local second <close> = ephemeral.start { port = true }
    assert.not_equal(first.port, second.port)
    for _, server in ipairs { first, second } do
      assert.equal(server.port_url, server.url)
      for _, url in ipairs { server.port_url, server.socket_url } do
        local conn <close> = db.connect(url)
        assert.equal(server.port, conn:value("select current_setting('port')::int"))
        assert.equal("127.0.0.1", conn:value("show listen_addresses"))
      end
    end
  end)

  it("makes the databases that are asked for, and tells their URLs", function()
    local server <close> = ephemeral.start { databases = { "one", 'two "quoted"' } }
    for _, name in ipairs { "one", 'two "quoted"' } do
      local conn <close> = db.connect(server:url_of(name))
      assert.equal(name, conn:value("select current_database()"))
    end
  end)

  it("is stopped and removed by stop, twice, and by the end of its scope", function()
    local dir, pid
    do
      local server <close> = ephemeral.start()
      dir, pid = server.dir, server.pid
      assert.truthy((fs.find(dir)))
      server:stop()
      assert.is_nil((fs.find(dir)))
      server:stop()
    end
    assert.is_false(process.is_running(pid))
  end)

  it("is stopped and removed when its handle is collected", function()
    local dir, pid
    local function start()
      local server = ephemeral.start()
      dir, pid = server.dir, server.pid
    end
    start()
    collectgarbage()
    collectgarbage()
    assert.is_false(process.is_running(pid))
    assert.is_nil((fs.find(dir)))
  end)

  it("starts from a copy of its template instead of a new cluster", function()
    local function identifier()
      local server <close> = ephemeral.start()
      local conn <close> = db.connect(server.url)
      return conn:value("select system_identifier from pg_control_system()")
    end
    assert.equal(identifier(), identifier())
  end)

  it("makes the template anew when it is damaged, seen at once or only by the server", function()
    while template() do fs.remove(template()) end
    ephemeral.start():stop()
    local path = template()
    for _, damage in ipairs { "rm -f PG_VERSION", "rm -rf base",
      "rm -rf global/pg_filenode.map base/*/pg_filenode.map" } do
      assert.equal(0, process.run({ cmd = { "sh", "-c", damage }, cwd = path }).code)
      local server <close> = ephemeral.start()
      local conn <close> = db.connect(server.url)
      assert.equal(1, conn:value("select 1"))
      assert.truthy((fs.find(path .. "/PG_VERSION")))
      assert.truthy((fs.find(path .. "/base")))
    end
  end)

  it("survives several that make the first template at once", function()
    local path = template()
    fs.remove(path)
    local code = [[for i in 1 2 3 4; do "$0" ephemeral -- psql -XAtc 'select 42' & done; wait]]
    local ran = process.run { cmd = { "sh", "-c", code, require("spec.support.cli").program() } }
    assert.same({ code = 0, stdout = "42\n42\n42\n42\n", stderr = "" }, ran)
    assert.truthy((fs.find(path .. "/PG_VERSION")))
    for _, name in ipairs(fs.list(path:match("^(.*)/"))) do assert.is_nil(name:find("part", 1, true)) end
  end)

  it("trusts no template folder that others can write to", function()
    if process.user().uid == 0 then return pending("needs an ordinary user") end
    local cache, fallback = tmp.dir(), "/tmp/migrator-cache-" .. process.user().uid
    if not fs.find(fallback) then finally(function() fs.remove(fallback) end) end
    fs.mkdir(cache .. "/migrator", 511)
    process.run { cmd = { "chmod", "777", cache .. "/migrator" } }
    with_environment({ XDG_CACHE_HOME = cache }, function()
      local server <close> = ephemeral.start()
      assert.is_true(server:alive())
    end)
    assert.same({}, fs.list(cache .. "/migrator"))
  end)

  it("fits its socket into an address however long TMPDIR is", function()
    local long = tmp.dir() .. "/" .. ("x"):rep(90)
    fs.mkdir(long)
    with_environment({ TMPDIR = long }, function()
      local server <close> = ephemeral.start()
      assert.is_nil(server.dir:find(long, 1, true))
    end)
  end)

  it("hands the server nothing of the environment", function()
    local theirs = { PGPORT = "1", PGDATA = "/nowhere", PGHOST = "nowhere.invalid",
      DATABASE_URL = "postgres://x:secret@y/z" }
    with_environment(theirs, function()
      local server <close> = ephemeral.start()
      local conn <close> = db.connect(server.url)
      assert.equal(5432, conn:value("select current_setting('port')::int"))
      local text = process.run { cmd = { "cat", ("/proc/%d/environ"):format(server.pid) } }.stdout
      assert.is_nil(text:find("secret", 1, true))
    end)
  end)

  it("raises config with a hint when there is no server where PG_BINDIR says", function()
    with_environment({ PG_BINDIR = tmp.dir() }, function()
      local err = raised(ephemeral.start)
      assert.is_true(errors.is(err, "config"))
      assert.matches("^no PostgreSQL server in ", err.message)
      assert.equal("PG_BINDIR names it", err.hint)
    end)
  end)

  it("notices at once that the server exits, says why and leaves nothing", function()
    local bin, real = tmp.dir(), find.programs()
    process.run { cmd = { "chmod", "755", bin } }
    tmp.write(bin .. "/initdb", "#!/bin/sh\nexec " .. real .. '/initdb "$@"\n', 493)
    tmp.write(bin .. "/postgres", [[#!/bin/sh
case $1 in --version) echo "postgres (PostgreSQL) 15.0broken";; *) echo "FATAL: no such luck"; exit 1;; esac
]], 493)
    local before, others = clock.now(), template():match("^(.*)/")
    finally(function() process.run { cmd = { "sh", "-c", "rm -rf -- *-15.0broken-*" }, cwd = others } end)
    local err = raised(ephemeral.start, { bin = bin })
    assert.is_true(errors.is(err, "connect"))
    assert.matches("no such luck", err.detail)
    assert.is_true(clock.now() - before < 10)
    for _, name in ipairs(fs.list("/tmp")) do
      if name:find("^migrator%-pg%-") then
        local log = io.open("/tmp/" .. name .. "/log")
        assert.is_nil(log and log:read("a"):find("no such luck", 1, true))
        if log then log:close() end
      end
    end
  end)
end)
