local cjson = require "cjson"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

-- Whoever connects to it fails with 4: a 2 proves that nobody tried.
local NOWHERE = "postgresql:///nowhere?host=/nonexistent"

local function migrate(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

local function value(url, query)
  local conn <close> = db.connect(url)
  return conn:value(query)
end

local function is_untouched(url)
  return value(url, "select not exists (select 1 from pg_namespace where nspname in ('drizzle', 'migrator'))"
    .. " and not exists (select 1 from pg_class where relnamespace = 'public'::regnamespace)")
end

local function check_says(ran, ...)
  for _, text in ipairs { ... } do assert.matches(text, ran.stderr, 1, true) end
end

local function journal(entries, head)
  return ('{\n  %s,\n  "entries": [\n    %s\n  ]\n}\n'):format(head or '"version": "7",\n  "dialect": "postgresql"',
    table.concat(entries, ",\n    "))
end

local function entry(idx, tag, when)
  return ('{"idx": %d, "version": "7", "when": %s, "tag": "%s", "breakpoints": true}'):format(idx,
    when or ("%d"):format(project.T + idx), tag)
end

describe("bad input, the journal: exit 2 before connecting, with file and line, when", function()
  local A, B = entry(0, "0000_a"), entry(1, "0001_b")
  local JSON = "meta/_journal.json"
  for name, case in pairs {
    ["R15 it is missing"] = { nil, JSON .. " does not exist", "hint: --dir" },
    ["R15 it is empty"] = { "", JSON .. ":1:", "the journal is empty" },
    ["R15 it is nothing but blanks"] = { " \n", JSON .. ":", "not valid JSON" },
    ["R15 it is truncated"] = { journal({ A, B }):sub(1, -30), JSON .. ":6:", "not valid JSON" },
    ["R15 it is malformed in its middle"] = { journal { A:gsub("}", ",}") }, JSON .. ":5:", "not valid JSON" },
    ["R15 it has git's conflict markers"] = { journal { A .. "\n<<<<<<< HEAD\n" }, JSON .. ":6:", "git conflict" },
    ["R15 it starts with a byte order mark"] = { "\u{FEFF}" .. journal { A }, JSON .. ":1:", "byte order mark" },
    ["R15 it is a list"] = { "[]", JSON .. ":1:", 'no "entries"' },
    ["R16 its dialect is another"] = { journal({ A }, '"version": "7", "dialect": "mysql"'), JSON .. ":1:",
      'dialect "mysql" is not postgresql' },
    ["R16 it has no dialect"] = { journal({ A }, '"version": "7"'), JSON .. ":1:", "is not postgresql" },
    ["R16 its version is another"] = { journal({ A }, '"version": "99", "dialect": "postgresql"'), JSON .. ":1:",
      'journal version "99"' },
    ["R16 an entry has no tag"] = { journal { A, '{"idx": 1, "when": 5}' }, JSON, "entry 2 has no tag" },
    ["R16 an entry has no when"] = { journal { A, '{"idx": 1, "tag": "0001_b"}' }, JSON .. ":6:", "entry 2 (0001_b)",
      "`when` must be a whole number" },
    ["R16 a when is a fraction"] = { journal { entry(0, "0000_a", "1.5") }, JSON .. ":5:", "entry 1 (0000_a)", "1.5" },
    ["R17 a tag stands in it twice"] = { journal { A, entry(1, "0000_a") }, JSON .. ":6:", "entry 2 (0000_a)",
      "twice" },
    ["R17 an idx stands in it twice"] = { journal { A, entry(0, "0001_b") }, JSON .. ":6:", "entry 2 (0001_b)",
      "idx 0 is used by 0000_a already" },
    ["R19 an entry has no file"] = { journal { A, B, entry(2, "0002_c") }, JSON .. ":7:", "entry 3 (0002_c)",
      "there is no file", "0002_c.sql", "hint: restore" },
    ["R19 a file has no entry"] = { journal { A }, "0001_b.sql", "not in the journal", "hint: add its entry" },
    ["a tag leads out of the folder"] = { journal { A, B, entry(2, "../x") }, JSON .. ":7:", "entry 3 (../x)",
      "slash" },
  } do
    it(name, function()
      local dir = tmp.dir { ["0000_a.sql"] = "select 1;", ["0001_b.sql"] = "select 2;" }
      if case[1] then tmp.write(dir .. "/" .. JSON, case[1]) else fs.mkdir(dir .. "/meta") end
      for _, command in ipairs { "migrate", "status", "plan" } do
        local ran = cli.run { command, "--dir", dir, "--url", NOWHERE }
        assert.same({ 2, "" }, { ran.code, ran.stdout })
        check_says(ran, "error: " .. dir, table.unpack(case, 2))
      end
    end)
  end

  it("there is no folder at all", function()
    local ran = migrate(NOWHERE, tmp.dir() .. "/none")
    assert.equal(2, ran.code)
    check_says(ran, "there is no migrations folder", "hint:")
  end)
end)

describe("bad input, `when`", function()
  it("R18 not rising is a finding; where Drizzle would skip for it, an error", function()
    local url = pg.database()
    local A, B = { "0000_a", "create table a ();", when = "1700000000500" },
      { "0001_b", "create table b ();", when = "1700000000400" }
    local dir = project.write { A, B }
    local ran = migrate(url, dir)
    assert.equal(0, ran.code)
    check_says(ran, "0001_b has a `when` (1700000000400) that is not above 0000_a's (1700000000500)")
    url = pg.database()
    migrate(url, project.write { A })
    ran = migrate(url, dir)
    assert.equal(1, ran.code)
    check_says(ran, "0001_b was never applied", "Drizzle would skip it", "--order non-linear")
    assert.equal(1, value(url, "select count(*) from drizzle.__drizzle_migrations"))
  end)

  it("R18 in the future is a finding", function()
    local ran = migrate(pg.database(), project.write { { "0000_a", "select 1", when = "4102444800000" } })
    assert.equal(0, ran.code)
    check_says(ran, "0000_a has a `when` in the future: 2100-01-01 00:00:00 UTC")
  end)
end)

describe("bad input, SQL files", function()
  -- Each file makes the table t; the row it leaves has the hash that Drizzle would have written.
  for name, case in pairs {
    ["a byte order mark"] = { "\u{FEFF}create table t (id int);" }, ["CRLF"] = { "create table t\r\n(id int);\r\n" },
    ["no final newline"] = { "create table t (id int) -- no end" },
    ["a trailing breakpoint"] = { "create table t (id int);\n--> statement-breakpoint\n" },
    ["nothing but breakpoints besides"] = { "--> statement-breakpoint\n--> statement-breakpoint\ncreate table t ();" },
    ["invalid UTF-8, hashed with U+FFFD"] = { "create table t (); -- \xff\xc3\n",
      hashed = "create table t (); -- \u{FFFD}\u{FFFD}\n", says = "not valid UTF-8" },
    ["20 MB of comment (100 MB would be the same path)"] = { "--" .. ("x"):rep(20 << 20) .. "\ncreate table t ();" },
    ["100,000 statements"] = { "create table t ();\n" .. ("select 1;\n"):rep(99999) },
  } do
    it("R26 takes " .. name, function()
      local url, hash = pg.database(), require "migrator.core.hash"
      local ran = migrate(url, project.write { { "0000_a", case[1] } })
      assert.same({ 0, true }, { ran.code, value(url, "select to_regclass('t') is not null") })
      assert.equal(hash.sha256(case.hashed or case[1]), value(url, "select hash from drizzle.__drizzle_migrations"))
      if case.says then check_says(ran, case.says) else assert.equal("", cli.said(ran)) end
    end)
  end

  for name, case in pairs {
    ["a NUL byte"] = { "select 1;\nselect '\0';", "0001_b.sql:2:9: a NUL byte" },
    ["UTF-16"] = { "\xff\xfes\0e\0l\0", "0001_b.sql:1:", "save it as UTF-8" },
    ["a psql meta-command"] = { "select 1;\n\\i other.sql\n", "0001_b.sql:2:1:", "psql's meta-commands are not SQL" },
    ["\\connect"] = { "\\connect other", "0001_b.sql:1:1:", "meta-commands" },
    ["COPY FROM stdin with its rows"] = { "copy a from stdin;\n1\n\\.\n", "0001_b.sql:", "COPY FROM STDIN" },
    ["COPY FROM stdin alone"] = { "\n  copy a from stdin;", "0001_b.sql:2:3:", "COPY FROM STDIN" },
    ["ROLLBACK"] = { "insert into a values (1);\nROLLBACK;", "0001_b.sql:2:1:", "ROLLBACK would undo" },
    ["ROLLBACK behind BEGIN"] = { "begin;\nselect 1;\nrollback;", "0001_b.sql:3:1:", "ROLLBACK would undo" },
    ["a quote that is not closed"] = { "select 'x;", "0001_b.sql:1:8:", "a quote is not closed" },
  } do
    it("refuses " .. name .. " by name before anything runs", function()
      local url = pg.database()
      local ran = migrate(url, project.write { { "0000_a", "create table a (id int);" }, { "0001_b", case[1] } })
      assert.equal(2, ran.code)
      check_says(ran, table.unpack(case, 2))
      assert.is_true(is_untouched(url))
    end)
  end
end)

describe("bad input, tracking rows", function()
  it("with NULL created_at or twice are classified and said, never run again", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a ();" }, { "0001_b", "create table b ();" } }
    migrate(url, dir)
    do
      local conn <close> = db.connect(url)
      conn:exec "update drizzle.__drizzle_migrations set created_at = null where id = 1"
      conn:exec [[insert into drizzle.__drizzle_migrations (hash, created_at)
        select hash, created_at from drizzle.__drizzle_migrations where id = 2]]
    end
    local ran = migrate(url, dir, "--verbose")
    assert.equal(0, ran.code)
    check_says(ran, "0001_b is recorded twice", "0000_a was applied as created_at NULL")
    assert.matches("Applied 0 new", ran.stdout, 1, true)
  end)
end)

describe("bad input, the URL", function()
  local dir
  before_each(function() dir = project.write { { "0000_a", "create table a ();" } } end)

  for url, text in pairs {
    ["mysql://u:hush@h/d"] = '"mysql" is not a PostgreSQL scheme', ["jdbc:postgresql://h/d?password=hush"] = "Java's",
    ["postgresql:/u:hush@h/d"] = "two slashes", ["nonsense"] = "neither postgresql://",
    ["postgresql+asyncpg://u:hush@h/d"] = "Python driver", ["prisma://h/?api_key=hush"] = "Prisma service",
    ["postgresql://u:hush@h:99999/d"] = "port", ["postgresql://u:hu%zzsh@h/d"] = "percent",
    ["postgresql://u:hush@h/d?sslmod=require"] = 'unknown parameter', ["host=h password='hush"] = "never closed",
    ["postgresql://u:hush@h/d?require_auth=none"] = '"require_auth" needs libpq 16',
    ['"postgresql://u:hush@h/d"'] = "begins with a quote", ["postgresql://u:hush@h/d\n\tx"] = "control character",
  } do
    it("R57 R63 is refused by name: " .. cjson.encode(url), function()
      for _, ran in ipairs { migrate(url, dir, "--verbose"),
        cli.run { "status", "--dir", dir, env = { DATABASE_URL = url } } } do
        assert.equal(2, ran.code)
        check_says(ran, text)
        assert.not_matches("hush", ran.stdout .. ran.stderr, 1, true)
      end
    end)
  end

  it("R57 may be percent-encoded, have Prisma's parameters, several hosts, or a unix socket", function()
    local url, name = pg.database("ü %@/x")
    local socket = pg.server().dir
    assert.equal(0, migrate(url, dir).code)
    local encoded = url:match("/([^/?]*)%?")
    for _, form in ipairs { url .. "&schema=public&connection_limit=5&pgbouncer=true",
      ("postgresql://postgres@%s/%s?port=5432"):format(socket:gsub("/", "%%2F"), encoded),
      ("postgresql:///%s?user=postgres&host=%s"):format(encoded, socket),
      ("host='/nonexistent,%s' port=5432 user=postgres dbname='%s'"):format(socket, name) } do
      local ran = cli.run { "status", "--json", "--dir", dir, "--url", form }
      assert.same({ 0, name }, { ran.code, ran.code == 0 and cjson.decode(ran.stdout).server.database })
    end
  end)

  it("has its password nowhere in output, nor in the process title", function()
    local url, name = pg.database()
    local given = url:gsub("//postgres@", "//postgres:hush-pw@")
    local slow = project.write { { "0000_a", "select pg_sleep(20);" } }
    local child <close> = cli.start { "migrate", "--verbose", "--dir", slow, "--url", given, log = slow .. "/log" }
    require("spec.support.wait").till(function()
      return value(url, "select count(*) from pg_stat_activity where datname = current_database()"
        .. " and wait_event = 'PgSleep'") > 0
    end)
    local title = fs.read(("/proc/%d/cmdline"):format(child:pid()))
    child:kill("INT")
    assert.equal(130, child:wait(clock.deadline(10)).code)
    assert.not_matches("hush", title .. fs.read(slow .. "/log"), 1, true)
    local ran = migrate(given:gsub("/" .. name, "/none"), dir, "--verbose")
    assert.not_matches("hush", ran.stdout .. ran.stderr, 1, true)
  end)
end)
