local url = require "migrator.lib.url"
local raised = require("spec.support.core_fake").raised

-- What each URL of the fixture becomes: the keywords in order of name, or the words that the refusal must hold.
local OK = {
  ["postgresql://app:s3cr%40t@203.0.113.9:5432/trovella"] =
    "dbname=trovella host=203.0.113.9 password=s3cr@t port=5432 user=app",
  ["postgres://app@h/db"] = "dbname=db host=h user=app",
  ["postgresql:///db?host=/cloudsql/p:r:i"] = "dbname=db host=/cloudsql/p:r:i",
  ["postgresql://%2Fcloudsql%2Fp%3Ar%3Ai/db"] = "dbname=db host=/cloudsql/p:r:i",
  ["postgresql://h1:5432,h2:6543/db?target_session_attrs=read-write"] =
    "dbname=db host=h1,h2 port=5432,6543 target_session_attrs=read-write",
  ["postgresql://h1,h2/db?port=1,2"] = "dbname=db host=h1,h2 port=1,2",
  ["postgresql://u:p@[::1]:5433/db"] = "dbname=db host=::1 password=p port=5433 user=u",
  ["postgresql://u:p@[fe80::1%25eth0]/db"] = "dbname=db host=fe80::1%eth0 password=p user=u",
  ["postgresql://u:p#ss@host/db"] = "dbname=db host=host password=p#ss user=u",
  ["postgresql://u:p:ss@host/db"] = "dbname=db host=host password=p:ss user=u",
  ["postgresql://u:p+s@host/db"] = "dbname=db host=host password=p+s user=u",
  ["postgresql://u:a b@host/db"] = "dbname=db host=host password=a b user=u",
  ["postgresql://u:p@host/db?sslmode=require&sslmode=disable"] =
    "dbname=db host=host password=p sslmode=disable user=u",
  ["postgresql://u:p@host/db?ssl=true"] = "dbname=db host=host password=p sslmode=require user=u",
  ["postgresql://u:p@host/db?host=override&port=1&user=o&password=q&dbname=z"] =
    "dbname=z host=override password=q port=1 user=o",
  ["postgresql://u:p@host:5432/db%2Fname"] = "dbname=db/name host=host password=p port=5432 user=u",
  ["postgresql://"] = "",
  ["host=h dbname='a b' password='it\\'s'"] = "dbname=a b host=h password=it's",
  ["postgresql://u:p@host/db?schema=public"] = "dbname=db host=host password=p user=u",
}
local REFUSED = {
  ["postgresql://u:p@ss@host/db"] = "contains an @", ["postgresql://u:p/ss@host/db"] = "port",
  ["postgresql://u:p%ss@host/db"] = "percent%-encoding in the password", ["postgresql://u:p%00s@host/db"] = "%%00",
  ["postgresql://u:p@host/db?SSLMODE=require"] = 'unknown parameter "SSLMODE"',
  ["postgresql://u:p@host/db?ssl=false"] = "ssl=", ["postgresql://u:p@host/db?ssl=1"] = "ssl=",
  ["postgresql://u:p@host/db?sslmode=no-verify"] = "sslmode", ["postgresql://u:p@host/db?a"] = "no =",
  ["postgresql://u:p@host/db?options=-c%20search_path=foo%20-c%20statement_timeout=5s"] = "two =",
  ["postgresql://u:p@host/db?sslmode="] = "sslmode", ["postgresql://host:notaport/db"] = "port",
  ["postgresql://host:99999/db"] = "port", ["postgresql:/bad"] = "two slashes", ["POSTGRESQL://h/db"] = "lower case",
  ["postgres+asyncpg://u:p@host/db"] = "Python", ["postgresql+psycopg://u:p@host/db"] = "Python",
  ["prisma://accelerate.example/?api_key=1"] = "Prisma", ["jdbc:postgresql://host/db"] = "Java",
  ["postgresql://u:p@host/db?require_auth=scram-sha-256"] = "libpq 16",
  ["postgresql://u:p@host/db?sslmode=require#frag"] = "sslmode", [" postgresql://u:p@host/db"] = "blank",
  ['"postgresql://u:p@host/db"'] = "quote",
}

local function shown(kw)
  local list = {}
  for key, value in pairs(kw) do list[#list + 1] = key .. "=" .. value end
  table.sort(list)
  return table.concat(list, " ")
end

describe("url.conninfo", function()
  for line in io.lines("spec/fixtures/libpq_uris.txt") do
    it("reads or refuses as libpq does (R57): " .. line, function()
      if REFUSED[line] then
        local err = raised(url.conninfo, line)
        assert.equal("config", err.code)
        assert.is_truthy(err.message:find(REFUSED[line]), err.message)
        return
      end
      local kw = url.conninfo(line)
      if OK[line] then assert.equal(OK[line], shown(kw)) end
      assert.same(kw, (url.conninfo(url.format(url.parse(line)))))
    end)
  end

  it("has every expected line in the fixture", function()
    local seen = {}
    for line in io.lines("spec/fixtures/libpq_uris.txt") do seen[line] = true end
    for _, list in ipairs { OK, REFUSED } do
      for line in pairs(list) do assert.is_true(seen[line], line) end
    end
  end)

  it("sets Prisma's parameters aside and says so", function()
    local kw, info = url.conninfo("postgresql://u@h/db?schema=public&connection_limit=5&application_name=x")
    assert.is_nil(kw.schema)
    assert.equal("x", kw.application_name)
    assert.same({ schema = "public", connection_limit = "5" }, info.ignored)
    assert.same({ "not for PostgreSQL, set aside: schema, connection_limit" }, info.notices)
  end)

  it("suggests the name of a misspelt parameter", function()
    assert.equal('did you mean "connect_timeout"?', raised(url.conninfo, "postgresql://h/db?conect_timeout=3").hint)
  end)

  it("takes the keywords of a newer libpq when told", function()
    local known = { table.unpack(url.KNOWN) }
    known[#known + 1] = "require_auth"
    assert.equal("none", url.conninfo("postgresql://h/db?require_auth=none", known).require_auth)
  end)

  it("removes a line break at the end with a notice, and refuses one inside", function()
    local kw, info = url.conninfo("postgresql://u:p@h/db\r\n")
    assert.equal("db", kw.dbname)
    assert.equal(1, #info.notices)
    assert.is_truthy(raised(url.conninfo, "postgresql://u:p@h/d\nb").message:find("control character"))
  end)

  it("refuses lists that do not fit together", function()
    for _, text in ipairs { "postgresql://h1,h2/db?port=1,2,3", "postgresql://h1/db?hostaddr=1.1.1.1,2.2.2.2" } do
      assert.equal("config", raised(url.conninfo, text).code)
    end
  end)

  it("never says the password, in no refusal (R131)", function()
    local secret = "hunter2x"
    for _, form in ipairs { "postgresql://u:%s%%zz@h/d", "postgresql://u:%s/x@h/d", "postgresql://u:%s@x@h/d",
      "postgresql://h/d?password=%s=x", "postgresql://u:%s\1@h/d", "mysql://u:%s@h/d", "jdbc:postgresql://u:%s@h/d",
      "host=h password='%s", "postgresql://u:%s@h:1x/d", "postgresql://u:%s@h/d?sslmode=%s", "u:%s@h/d" } do
      local err = raised(url.conninfo, (form:gsub("%%s", secret):gsub("%%%%", "%%")))
      assert.is_nil((err.message .. (err.hint or "")):find(secret, 1, true), form)
    end
  end)
end)

describe("url.rewrite", function()
  local proxy = { host = "127.0.0.1", port = 6543 }

  it("replaces address and TLS, keeps the rest (R58)", function()
    local got = url.rewrite("postgresql://u:p%40%2F@h1:5432,h2/db?sslmode=require&hostaddr=203.0.113.9,203.0.113.10"
      .. "&channel_binding=require&gssencmode=prefer&target_session_attrs=standby&service=x&passfile=/p"
      .. "&sslrootcert=system&application_name=a%20b&schema=public", proxy)
    assert.equal("postgresql://u:p%40%2F@127.0.0.1:6543/db?application_name=a%20b&sslmode=disable&gssencmode=disable",
      got)
    assert.same({ application_name = "a b", dbname = "db", gssencmode = "disable", host = "127.0.0.1",
      password = "p@/", port = "6543", sslmode = "disable", user = "u" }, (url.conninfo(got)))
  end)

  it("says what it dropped", function()
    local _, info = url.rewrite("postgresql://h1,h2/db?service=x&pgbouncer=true\n", proxy)
    assert.equal(4, #info.notices)
  end)

  it("turns a socket toward the proxy and keeps Prisma's parameters on demand", function()
    assert.equal("postgresql://u:p@127.0.0.1:6543/db?schema=s&sslmode=disable&gssencmode=disable",
      (url.rewrite("postgresql://u:p@/db?host=/cloudsql/p:r:i&schema=s",
        { host = "127.0.0.1", port = 6543, keep_ignored = true })))
  end)

  it("refuses sslmode=disable off this machine (R59)", function()
    local err = raised(url.rewrite, "postgresql://u:p@h/db", { host = "10.0.0.1", port = 5432 })
    assert.equal("config", err.code)
    assert.equal("config", raised(url.rewrite, "postgresql://u:p@h/db", { port = 1 }).code)
    assert.is_truthy(url.rewrite("postgresql://u:p@h/db", { host = "10.0.0.1", sslmode = "require" }))
  end)

  it("refuses an option that it does not know", function()
    assert.equal('did you mean "host"?', raised(url.rewrite, "postgresql://h/db", { hots = "x" }).hint)
  end)
end)

describe("url.is_loopback", function()
  it("knows this machine's addresses", function()
    for _, host in ipairs { "localhost", "127.0.0.1", "127.9.9.9", "::1", "/var/run/postgresql", "LOCALHOST" } do
      assert.is_true(url.is_loopback(host), host)
    end
    for _, host in ipairs { "", "10.0.0.1", "127.evil.example", "localhost.evil.example", "127.0.0.1.evil",
      "127.0.0.999" } do
      assert.is_false(url.is_loopback(host), host)
    end
    assert.is_false(url.is_loopback(nil))
  end)
end)

describe("url.redact", function()
  it("takes passwords out of any text (R131)", function()
    assert.equal("failed: postgresql://u:***@h/db now", url.redact("failed: postgresql://u:pw@h/db now"))
    assert.equal("postgresql://u:***@h/db", url.redact("postgresql://u:p@ss/wo:rd@h/db"))
    assert.equal("postgresql://u:***@h/db", url.redact("postgresql://u:a b'c@h/db"))
    assert.equal("host=h password=*** x=1", url.redact("host=h password=pw x=1"))
    assert.equal("password = *** x=1", url.redact("password = 'a\\'b c' x=1"))
    assert.equal("postgresql://h/db?password=***&x=1", url.redact("postgresql://h/db?password=pw&x=1"))
    assert.equal("PGPASSWORD=***", url.redact("PGPASSWORD=pw"))
    assert.equal("nothing to hide", url.redact("nothing to hide"))
  end)
end)

describe("url.describe", function()
  it("names user, host and database only (R133)", function()
    assert.equal("user=u host=h port=1 dbname=d", url.describe("postgresql://u:pw@h:1/d?application_name=x"))
  end)
end)
