local cli = require "spec.support.cli"
local db = require "migrator.db"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"
local tracking = require "migrator.tracking"

local A, B, C = { "0000_a", "create table a (i int);" }, { "0001_b", "create table b (i int);" },
  { "0002_c", "create table c (i int);" }

local function migrate(url, list)
  local ran = cli.run { "migrate", "--dir", project.write(list), "--url", url }
  assert.equal(0, ran.code, ran.stderr)
end

local function promote(here, there, list, from)
  local dir = project.write(list)
  tmp.write(dir .. "/p.lua", ([[return pipeline { steps = { steps.promote { from = %q, dir = %q },
    steps.migrate { dir = %q } } }]]):format(from or "env:STAGING_DATABASE_URL", dir, dir))
  return cli.run { dir .. "/p.lua", env = { DATABASE_URL = here, STAGING_DATABASE_URL = there } }
end

local function tables(url)
  local conn <close> = db.connect(url)
  return conn:value "select count(*) from pg_tables where schemaname = 'public'"
end

describe("steps.promote", function()
  local here, there, name

  before_each(function()
    here = pg.database()
    there, name = pg.database "staging"
    migrate(here, { A })
  end)

  it("R127 lets through what staging has with the same hash", function()
    migrate(there, { A, B, C })
    local ran = promote(here, there, { A, B, C })
    assert.equal(0, ran.code, ran.stderr)
    assert.matches(("Promote: the 2 pending migration(s) were applied on %s, with the same hashes."):format(name),
      ran.stdout, 1, true)
    assert.equal(3, tables(here))
  end)

  it("R127 refuses what staging has not, by its tag, before anything is done here", function()
    migrate(there, { A, B })
    local ran = promote(here, there, { A, B, C })
    assert.equal(1, ran.code)
    assert.matches(("1 of 2 pending migration(s) were not tried on %s first: 0002_c (not applied there)"):format(name),
      ran.stderr, 1, true)
    assert.equal(1, tables(here))
  end)

  it("R127 refuses what staging had with another text", function()
    migrate(there, { A, { "0001_b", "create table b (i bigint);" } })
    local ran = promote(here, there, { A, B })
    assert.equal(1, ran.code)
    assert.matches("0001_b (applied there with another text)", ran.stderr, 1, true)
  end)

  it("R127 asks nothing of staging when nothing is pending here, and minds no more that staging has", function()
    migrate(there, { A, B, C })
    assert.equal(0, promote(here, there, { A }).code)
    migrate(here, { A, B })
    assert.equal(0, promote(here, pg.database(), { A, B }).code)
  end)

  it("R127 reads with a user who may only read, while another run holds the lock there, and leaves nothing", function()
    migrate(there, { A, B })
    local conn <close> = db.connect(there)
    conn:exec("select pg_advisory_lock($1::int8)", tracking.new("drizzle", "__drizzle_migrations").key)
    local role = name .. "_r"
    conn:script(("create role %s login; grant usage on schema drizzle to %s; "
      .. "grant select on drizzle.__drizzle_migrations to %s"):format(role, role, role))
    local ran = promote(here, there:gsub("//[^@/]*@", "//" .. role .. "@"), { A, B })
    assert.equal(0, ran.code, ran.stderr)
    conn:script(("drop owned by %s; drop role %s"):format(role, role))
  end)

  it("R127 says that it is staging which fails, and never its password", function()
    local ran = promote(here, "postgres://u:hunter2secret@127.0.0.1:1/none", { A, B })
    assert.equal(4, ran.code)
    assert.matches("the database to promote from", ran.stderr, 1, true)
    assert.not_matches("hunter2secret", ran.stdout .. ran.stderr, 1, true)
    assert.equal(2, promote(here, false, { A, B }).code)
    assert.equal(2, promote(here, there, { A, B }, "postgres://u:hunter2secret@h/d").code)
  end)
end)
