---The way to a database, row by row of what libpq makes of a URL, with libpq itself as the judge.
local core = require "migrator.core.db"
local path = require "migrator.lib.url_path"
local unreachable = require "migrator.lib.unreachable"
local url = require "migrator.lib.url"
local raised = require("spec.support.core_fake").raised

local PROXY = { host = "127.0.0.1", port = 6543 }
local WAY = { host = "127.0.0.1", port = "6543", sslmode = "disable", gssencmode = "disable" }

local function shown(words)
  local out = {}
  for key, value in pairs(words) do out[#out + 1] = key .. "=" .. tostring(value) end
  table.sort(out)
  return table.concat(out, " ")
end

-- Each URL with what stays of it behind a proxy, besides the way there. libpq reads it as we do where `libpq` is true.
local ROWS = {
  { "encoded password", "postgresql://u:p%40%3A%2F%25%23%3F%26%20+s@h/d",
    { user = "u", password = "p@:/%#?& +s", dbname = "d" }, true },
  { "password with # : + and a blank as they are", "postgresql://u:a#b:c+d e@h/d",
    { user = "u", password = "a#b:c+d e", dbname = "d" }, true },
  { "no user", "postgresql://h/d", { dbname = "d" }, true },
  { "empty password", "postgresql://u:@h/d", { user = "u", dbname = "d" } },
  { "empty user", "postgresql://:pw@h/d", { password = "pw", dbname = "d" } },
  { "hostaddr", "postgresql://u@h/d?hostaddr=203.0.113.9", { user = "u", dbname = "d" }, true },
  { "only hostaddr", "hostaddr=203.0.113.9 dbname=d user=u", { user = "u", dbname = "d" }, true },
  { "several hosts", "postgresql://u@h1:1,h2:2/d?target_session_attrs=read-write", { user = "u", dbname = "d" }, true },
  { "several ports", "postgresql://u@h1,h2/d?port=1,2", { user = "u", dbname = "d" }, true },
  { "several with hostaddr", "postgresql://u@h1,h2/d?hostaddr=10.0.0.1,10.0.0.2", { user = "u", dbname = "d" } },
  { "parameters over the authority", "postgresql://u:p@h:1/d?host=o&port=2&user=x&password=y&dbname=z",
    { user = "x", password = "y", dbname = "z" }, true },
  { "socket in the authority", "postgresql://%2Fcloudsql%2Fp%3Ar%3Ai/d", { dbname = "d" }, true },
  { "socket as a parameter", "postgresql:///d?host=/cloudsql/p:r:i&user=u", { user = "u", dbname = "d" }, true },
  { "abstract socket", "postgresql://u@%40pg/d", { user = "u", dbname = "d" }, true },
  { "IPv6", "postgresql://u:p@[::1]:5433/d", { user = "u", password = "p", dbname = "d" }, true },
  { "IPv6 with a zone", "postgresql://u@[fe80::1%25eth0]/d", { user = "u", dbname = "d" }, true },
  { "database with / and =", "postgresql://h/a%2Fb%3Dc", { dbname = "a/b=c" }, true },
  { "database that looks like a URL", "postgresql://h/postgresql%3A%2F%2Fx", { dbname = "postgresql://x" }, true },
  { "ssl=true", "postgresql://u@h/d?ssl=true", { user = "u", dbname = "d" }, true },
  { "last of two", "postgresql://u@h/d?application_name=a&application_name=b&sslmode=require&sslmode=allow",
    { user = "u", dbname = "d", application_name = "b" }, true },
  { "options", "postgresql://u@h/d?options=-c%20search_path%3Da",
    { user = "u", dbname = "d", options = "-c search_path=a" }, true },
  { "empty query, empty pair", "postgresql://u@h/d?&connect_timeout=3&",
    { user = "u", dbname = "d", connect_timeout = "3" } },
  { "TLS files", "postgresql://u@h/d?sslmode=verify-full&sslrootcert=system&sslcert=c&sslkey=k&sslcrl=x&sslsni=0"
    .. "&sslpassword=q&ssl_min_protocol_version=TLSv1.3", { user = "u", dbname = "d" }, true },
  { "channel binding, Kerberos, peer", "postgresql://u@h/d?channel_binding=require&gssencmode=require&krbsrvname=x"
    .. "&requirepeer=postgres", { user = "u", dbname = "d" }, true },
  { "service and password file", "postgresql://u@/d?service=prod&passfile=/p", { user = "u", dbname = "d" }, true },
  { "keepalives stay", "postgresql://u@h/d?keepalives_idle=5&tcp_user_timeout=9",
    { user = "u", dbname = "d", keepalives_idle = "5", tcp_user_timeout = "9" }, true },
  { "key=value", "host=h port=1 dbname='a b' user=u password='it\\'s'",
    { user = "u", password = "it's", dbname = "a b" }, true },
  { "a line break at the end", "postgresql://u@h/d?sslmode=require\r\n", { user = "u", dbname = "d" } },
}

describe("url.rewrite", function()
  for _, row in ipairs(ROWS) do
    it("R57 R58 turns toward a proxy: " .. row[1], function()
      if row[4] then
        local words = url.conninfo(row[2])
        assert.same(core.parse_conninfo(row[2]), words)
      end
      local wanted = {}
      for key, value in pairs(row[3]) do wanted[key] = value end
      for key, value in pairs(WAY) do wanted[key] = value end
      local got = url.rewrite(row[2], PROXY)
      assert.equal(shown(wanted), shown(core.parse_conninfo(got)))
      assert.same(core.parse_conninfo(got), (url.conninfo(got)))
      assert.not_matches("\n", got, 1, true)
    end)
  end

  it("R58 encodes everything, so that other readers of URLs agree", function()
    assert.equal("postgresql://a%40b:p%40%3A%2F%25%23@127.0.0.1:6543/d%3F1?sslmode=disable&gssencmode=disable",
      (url.rewrite("postgresql://a%40b:p%40%3a%2f%25%23@h/d%3F1", PROXY)))
    assert.equal("postgresql://u@[::1]:6543/d?sslmode=disable&gssencmode=disable",
      (url.rewrite("postgresql://u@h/d", { host = "::1", port = 6543 })))
  end)

  it("R58 strips what Prisma, Rails and node-postgres mean, and keeps it for Prisma's children on demand", function()
    local source = "postgresql://u@h/d?schema=s&pgbouncer=true&connection_limit=1&pool_timeout=2&socket_timeout=3"
      .. "&statement_cache_size=0&sslaccept=strict&sslidentity=i&single_use_connections=true&uselibpqcompat=true"
      .. "&prepared_statements=false&pool=5"
    assert.is_nil(core.parse_conninfo(source))
    local got, info = url.rewrite(source, PROXY)
    assert.equal("postgresql://u@127.0.0.1:6543/d?sslmode=disable&gssencmode=disable", got)
    assert.equal("s", info.ignored.schema)
    assert.equal(1, #info.notices)
    got = url.rewrite(source, { host = "127.0.0.1", port = 6543, keep_ignored = true })
    assert.matches("?connection_limit=1&pgbouncer=true&pool=5&", got, 1, true)
    assert.matches("&schema=s&", got, 1, true)
  end)

  it("refuses, without a word of the password, what libpq refuses or mistakes", function()
    for text, libpq in pairs {
      ["postgresql://u:s3cr@t@host/db"] = true, ["postgresql://u:s3cr/t@host/db"] = true,
      ["postgresql://u:s3cr%zz@host/db"] = false, ["postgresql://u:s3cr%00@host/db"] = false,
      ["postgresql://u:s3cr@h/d?SSLMODE=require"] = false, ["postgresql://u:s3cr@h/d?ssl=false"] = false,
      ["postgresql://u:s3cr@h/d?ssl=1"] = false, ["postgresql://u:s3cr@h/d?a"] = false,
      ["postgresql://u:s3cr@h/d?options=-c a=b"] = false, ["postgresql://u:s3cr@h:99999/d"] = true,
      ["postgresql://u:s3cr@h/d?sslmode=no-verify"] = true, ["postgresql://u:s3cr@h1,h2/d?port=1,2,3"] = true,
      ["postgresql://u:s3cr@h/d?hostaddr=10.0.0.1,10.0.0.2"] = true, [" postgresql://u:s3cr@h/d"] = false,
      ["'postgresql://u:s3cr@h/d'"] = false, ["jdbc:postgresql://u:s3cr@h/d"] = false,
      ["postgres+asyncpg://u:s3cr@h/d"] = false, ["Postgresql://u:s3cr@h/d"] = false,
      ["postgresql://u:s3cr@h/d\ndb"] = true, ["postgresql://u:s3cr@[::1/d"] = false,
      ["postgresql://u:s3cr@[::1]x/d"] = false,
    } do
      assert.equal(libpq, core.parse_conninfo(text) ~= nil, text)
      local err = raised(url.rewrite, text, PROXY)
      assert.equal("config", err.code, text)
      assert.not_matches("s3cr", err.message .. (err.hint or ""), 1, true)
    end
  end)

  it("R59 goes without TLS only to this machine", function()
    for _, host in ipairs { "127.0.0.1", "127.8.8.8", "::1", "localhost", "/tmp", "@pg" } do
      assert.truthy(url.rewrite("postgresql://u@h/d", { host = host, port = 1 }))
    end
    for _, host in ipairs { "10.0.0.1", "0.0.0.0", "localhost.example.org", "127.0.0.1.example.org", "::2" } do
      assert.equal("config", raised(url.rewrite, "postgresql://u@h/d", { host = host, port = 1 }).code)
    end
    assert.equal("config", raised(url.rewrite, "postgresql://u@localhost,db/d", { port = 1 }).code)
  end)

  it("takes what the libpq at hand knows, and says of the rest since when", function()
    local real = path.linked
    finally(function() path.linked = real end)
    local source = "postgresql://u@h/d?require_auth=scram-sha-256&sslnegotiation=direct&load_balance_hosts=random"
    path.linked = function() return { "host", "require_auth", "sslnegotiation", "load_balance_hosts" } end
    local words, info = url.conninfo(source)
    assert.same({ "scram-sha-256", "direct", 0 }, { words.require_auth, words.sslnegotiation, #info.notices })
    assert.equal("postgresql://u@127.0.0.1:6543/d?require_auth=scram-sha-256&sslmode=disable&gssencmode=disable",
      (url.rewrite(source, PROXY)))
    path.linked = function() return {} end
    assert.matches('"require_auth" needs libpq 16', raised(url.conninfo, source).message, 1, true)
    words, info = url.conninfo "postgresql://u@h/d?sslnegotiation=direct"
    assert.same({ nil, "direct" }, { words.sslnegotiation, info.ignored.sslnegotiation })
  end)
end)

describe("url_path.settle", function()
  local function settle(text, environment)
    return path.settle(type(text) == "table" and text or (url.conninfo(text)),
      function(name) return (environment or {})[name] end)
  end

  it("R58 dials the number that is named, whatever PGHOSTADDR says", function()
    for text, address in pairs { ["postgresql://127.0.0.1:1/d"] = "127.0.0.1", ["postgresql://[::1]/d"] = "::1",
      ["postgresql://10.0.0.1,10.0.0.2/d"] = "10.0.0.1,10.0.0.2", ["postgresql://[fe80::1%25eth0]/d"] = "fe80::1%eth0",
      ["postgresql://127.0.0.1/d?hostaddr=127.0.0.2"] = "127.0.0.2" } do
      assert.equal(address, settle(text, { PGHOSTADDR = "203.0.113.9" }).hostaddr, text)
    end
  end)

  it("R64 refuses a PGHOSTADDR that would lead away from a name or a socket", function()
    for _, text in ipairs { "postgresql://db.example.org/d", "postgresql://%2Ftmp/d", "postgresql://10.0.0.1,db/d" } do
      local err = raised(settle, text, { PGHOSTADDR = "203.0.113.9" })
      assert.equal("config", err.code)
      assert.matches("PGHOSTADDR", err.message, 1, true)
      assert.is_nil(settle(text).hostaddr)
      assert.is_nil(settle(text, { PGHOSTADDR = "" }).hostaddr)
    end
    assert.same({ dbname = "d" }, settle("postgresql:///d", { PGHOSTADDR = "203.0.113.9" }))
  end)

  it("leaves nothing of the way to a proxy to the environment, and of other ways what it is for", function()
    local words = settle(url.rewrite("postgresql://u@h/d", PROXY))
    assert.same({ "disable", "any" }, { words.channel_binding, words.target_session_attrs })
    words = settle "postgresql://u@h/d?sslmode=require"
    assert.same({}, { words.channel_binding, words.target_session_attrs })
  end)

  it("changes nothing of what it is given", function()
    local given = { host = "127.0.0.1" }
    settle(given)
    assert.same({ host = "127.0.0.1" }, given)
  end)
end)

describe("unreachable.find", function()
  local function message(at, why)
    return ('cannot connect: connection to server at %s, port 5432 failed: %s\n\tIs the server running on that host '
      .. "and accepting TCP/IP connections?"):format(at, why)
  end

  it("R62 tells a missing IPv6 route from a missing route, a name and a port", function()
    local six = "only an IPv6 address"
    for _, why in ipairs { "Network is unreachable", "No route to host", "Cannot assign requested address" } do
      assert.matches(six, unreachable.find(message('"2001:db8::1"', why)), 1, true)
      assert.matches("Supabase's pooler in session mode",
        unreachable.find(message('"db.abc.supabase.co" (2001:db8::1)', why)), 1, true)
      assert.matches("^no route leads there", unreachable.find(message('"db" (10.1.1.1)', why)))
      assert.matches("^no route leads there",
        unreachable.find(message('"db" (2001:db8::1)', why) .. "\n" .. message('"db" (10.1.1.1)', why)))
    end
    assert.matches("DNS", unreachable.find 'could not translate host name "nope" to address: Name or service not known')
    assert.matches("listening", unreachable.find(message('"::1"', "Connection refused")), 1, true)
    assert.matches("^is there an IPv6 route",
      unreachable.find "no answer from db.abc.supabase.co port 5432 before the deadline")
    assert.is_nil(unreachable.find "no answer from db port 5432 before the deadline")
    assert.is_nil(unreachable.find "server closed the connection unexpectedly")
  end)
end)
