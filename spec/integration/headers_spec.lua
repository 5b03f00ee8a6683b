local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local NOTE = "insert into note select current_setting('lock_timeout') || ' ' || current_setting('statement_timeout');\n"
local FILES = {
  { "0000_a", "create table note (text text, id serial);\n" .. NOTE },
  { "0001_b", "-- migrator: lock_timeout=2s, statement_timeout=7s\n" .. NOTE .. NOTE },
  { "0002_c", NOTE },
  { "0003_d", "-- migrator: no-transaction lock_timeout=1500ms\n" .. NOTE
    .. "create index concurrently on note (id);\n" .. NOTE },
  { "0004_e", "set lock_timeout = '9s';\n" .. NOTE },
  { "0005_f", "-- migrator: lock_timeout=0, isolate\n" .. NOTE },
  { "0006_g", NOTE },
}
local NOTED = "5s 0, 2s 7s, 2s 7s, 5s 0, 1500ms 0, 1500ms 0, 9s 0, 0 0, 9s 0"

local function noted(url)
  local conn <close> = db.connect(url)
  return conn:value "select string_agg(text, ', ' order by id) from note"
end

local function migrate(url, dir, ...) return cli.run { "migrate", "--dir", dir, "--url", url, ... } end

describe("headers", function()
  it("hold for their file alone, in a transaction and outside of one", function()
    local url = pg.database()
    local ran = migrate(url, project.write(FILES))
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(NOTED, noted(url))
  end)

  it("do the same in the script of plan --sql", function()
    local url, dir = pg.database(), project.write(FILES)
    local script = cli.run { "plan", "--sql", "--dir", dir, "--url", url }
    assert.equal(0, script.code, script.stderr)
    local path = tmp.write(tmp.dir() .. "/plan.sql", script.stdout)
    local ran = process.run { cmd = { pg.program("psql"), "-X", "-q", "-f", path, "-d", url } }
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(NOTED, noted(url))
  end)

  it("are shown by plan, and make the parts that they ask for", function()
    local url, dir = pg.database(), project.write(FILES)
    local ran = cli.run { "plan", "--dir", dir, "--url", url }
    assert.equal(0, ran.code, ran.stderr)
    for _, text in ipairs { "0001_b.sql: asks for lock_timeout=2s, statement_timeout=7s\n",
      "Part 2 of 5: statement by statement",
      "because " .. dir .. "/0003_d.sql:3 CREATE INDEX CONCURRENTLY cannot run in a transaction",
      "because " .. dir .. "/0005_f.sql asks for a transaction of its own",
      "because after 0005_f, which asks for a transaction of its own" } do
      assert.truthy(ran.stdout:find(text, 1, true), text .. "\n" .. ran.stdout)
    end
    local document = cjson.decode(cli.run({ "plan", "--json", "--dir", dir, "--url", url }).stdout)
    assert.same({ "lock_timeout=2s", "statement_timeout=7s" }, document.segments[1].migrations[2].headers)
    assert.is_nil(document.segments[1].migrations[1].headers)
  end)

  it("let a statement run longer or shorter than the others", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "-- migrator: statement_timeout=10s\nselect pg_sleep(0.4)" },
      { "0001_b", "-- migrator: statement_timeout=100ms\n\nselect pg_sleep(5)" } }
    local ran = migrate(url, dir, "--statement-timeout", "200ms")
    assert.equal(1, ran.code, ran.stderr)
    assert.matches("0001_b.sql:3:1: canceling statement due to statement timeout", ran.stderr)
    dir = project.write { { "0000_a", "-- migrator: no-transaction, statement_timeout=100ms\nselect pg_sleep(5)" } }
    assert.matches("0000_a.sql:2:1: canceling statement due to statement timeout", migrate(url, dir).stderr)
  end)

  it("that nobody knows are refused before anything runs, with file, line and a guess", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a ()" }, { "0001_b",
      "-- b\n-- migrator: no-transactoin\nselect 1" } }
    local ran = migrate(url, dir)
    assert.equal(2, ran.code, ran.stderr)
    assert.matches('0001_b.sql:2:14: there is no header "no%-transactoin"', ran.stderr)
    assert.matches('did you mean "no%-transaction"%?', ran.stderr)
    local conn <close> = db.connect(url)
    assert.is_false(conn:value "select to_regclass('a') is not null")
  end)

  it("below the first statement are not read, which is said", function()
    local dir = project.write { { "0000_a", "create table a ();\n-- migrator: isolate\ncreate table b ()" } }
    assert.matches("0000_a.sql:2: a header is read above the first statement only",
      cli.run({ "plan", "--dir", dir, "--url", (pg.database()) }).stderr)
  end)
end)
