-- libpq's Kerberos functions are forwarded to a library that is loaded on demand (src/pg/gss.c).
local cli = require "spec.support.cli"
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local http = require "migrator.core.http"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local LOADED = [[local conn <close> = db.connect(env.TARGET)
print(conn:value "select 'in'", fs.read("/proc/self/maps"):find("libgssapi", 1, true) ~= nil)]]

local function linked_inside()
  local ran = process.run { cmd = { "ldd", cli.program() } }
  return ran.code == 0 and not ran.stdout:find("libpq.so", 1, true)
end

describe("Kerberos", function()
  local server

  setup(function() server = ephemeral.start { port = true } end)
  teardown(function() server:stop() end)

  local function look(environment)
    environment.TARGET = server.url
    local ran = cli.run { tmp.dir { ["x.lua"] = LOADED } .. "/x.lua", env = environment }
    assert.equal(0, ran.code, ran.stderr)
    return ran.stdout
  end

  it("is not loaded where there can be no credentials", function()
    if not linked_inside() then return pending "needs libpq linked into the program" end
    if fs.find "/etc/krb5.conf" or fs.find "/tmp/krb5cc_0" then return pending "needs a machine without Kerberos" end
    assert.equal("in\tfalse\n", look {})
  end)

  it("is loaded where there might be, and does no harm without any", function()
    assert.equal("in\ttrue\n", look { KRB5CCNAME = "FILE:/nowhere/cc" })
  end)
end)

describe("Kerberos, with a ticket", function()
  local SBIN = "/usr/sbin/"
  local server, kdc, dir
  local function missing()
    for _, name in ipairs { SBIN .. "krb5kdc", SBIN .. "kdb5_util", SBIN .. "kadmin.local", "kinit" } do
      if not process.find(name) then return name end
    end
  end

  local function run(cmd)
    local ran = process.run { cmd = cmd }
    assert.equal(0, ran.code, table.concat(cmd, " ") .. ": " .. ran.stderr)
  end

  local function make_realm(port)
    dir = tmp.dir {
      ["krb5.conf"] = ("[libdefaults]\n default_realm = TEST.LOCAL\n dns_lookup_kdc = false\n rdns = false\n"
        .. " dns_canonicalize_hostname = false\n[realms]\n TEST.LOCAL = {\n  kdc = 127.0.0.1:%d\n }\n"
        .. "[domain_realm]\n localhost = TEST.LOCAL\n"):format(port) }
    tmp.write(dir .. "/kdc.conf", ("[kdcdefaults]\n kdc_listen = 127.0.0.1:%d\n kdc_tcp_listen = 127.0.0.1:%d\n"
      .. "[realms]\n TEST.LOCAL = {\n  database_name = %s/principal\n  key_stash_file = %s/stash\n }\n")
      :format(port, port, dir, dir))
    host.setenv("KRB5_CONFIG", dir .. "/krb5.conf")
    host.setenv("KRB5_KDC_PROFILE", dir .. "/kdc.conf")
    host.setenv("KRB5CCNAME", "FILE:" .. dir .. "/cc")
    run { SBIN .. "kdb5_util", "create", "-s", "-r", "TEST.LOCAL", "-P", "master" }
    for _, query in ipairs { "addprinc -pw secret app", "addprinc -randkey postgres/localhost",
      "ktadd -k " .. dir .. "/pg.keytab postgres/localhost" } do
      run { SBIN .. "kadmin.local", "-q", query }
    end
  end

  setup(function()
    if missing() then return end
    local port = http.find_port()
    make_realm(port)
    kdc = process.start { cmd = { SBIN .. "krb5kdc", "-n" }, log = dir .. "/kdc.log" }
    wait.till(function() return process.run { cmd = { "kinit", "app" }, input = "secret\n" }.code == 0 end, 10)
    server = ephemeral.start { port = true }
    local conn <close> = db.connect(server.url)
    fs.write(server.dir .. "/pg.keytab", fs.read(dir .. "/pg.keytab"))
    local owner = fs.find(server.dir .. "/data")
    if owner.uid ~= fs.find(server.dir .. "/pg.keytab").uid then
      fs.chown(server.dir .. "/pg.keytab", owner.uid, owner.uid)
    end
    conn:exec(("alter system set krb_server_keyfile = '%s/pg.keytab'"):format(server.dir))
    conn:exec(("copy (select unnest(array['local all all trust', "
      .. "'hostgssenc all all 127.0.0.1/32 gss include_realm=0'])) to '%s'"):format(conn:value "show hba_file"))
    conn:script "create role app login"
    conn:value "select pg_reload_conf()"
  end)

  teardown(function()
    for _, name in ipairs { "KRB5_CONFIG", "KRB5_KDC_PROFILE", "KRB5CCNAME" } do host.setenv(name) end
    if kdc then kdc:stop() end
    if server then server:stop() end
  end)

  it("signs in and encrypts, without being asked to", function()
    if missing() then return pending("needs " .. missing()) end
    local function connect(mode)
      return db.connect(("postgresql://app@localhost:%d/postgres?gssencmode=%s"):format(server.port, mode))
    end
    for _, mode in ipairs { "prefer", "require" } do
      local conn <close> = connect(mode)
      assert.same({ ok = true, encrypted = true, bytes = 300000 }, conn:row [[select gss_authenticated as ok, encrypted,
        length(repeat('x', 300000)) as bytes from pg_stat_gssapi where pid = pg_backend_pid()]])
      assert.equal(300000, #conn:value "select repeat('x', 300000)")
    end
    host.setenv("KRB5CCNAME", "FILE:" .. dir .. "/none")
    local ok, err = pcall(connect, "require")
    host.setenv("KRB5CCNAME", "FILE:" .. dir .. "/cc")
    assert.is_false(ok)
    assert.matches("GSSAPI encryption required", err.message, 1, true)
  end)
end)
