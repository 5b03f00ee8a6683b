local alembic = require "migrator.alembic"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"

local SCRIPT = fs.absolute "scripts/supabase.lua"

local function revision(id, down, body)
  return ('"""x\n\nrevision = "not this"\n"""\nfrom alembic import op\n\nrevision: str = %q\ndown_revision = %s\n\n'
    .. "def upgrade():\n    %s\n\ndef downgrade():\n    pass\n"):format(id, down, body or "pass")
end

describe("alembic.load", function()
  local function load(files) return alembic.load(tmp.dir(files)) end

  local function ids(files)
    local out = {}
    for i, head in ipairs((load(files))) do out[i] = head.id end
    return out
  end

  local function refused(wants, code, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(errors.is(err, code), tostring(err))
    assert.matches(wants, tostring(err), 1, true)
    return err
  end

  it("finds the heads, behind merges and in folders below", function()
    assert.same({ "d" }, ids { ["1.py"] = revision("a", "None"), ["2.py"] = revision("b", "'a'"),
      ["sub/3.py"] = revision("c", '"a"'), ["4.py"] = revision("d", "(\n  'b',  # left\n  \"c\",\n)"),
      ["__init__.py"] = "", ["__pycache__/x.py"] = "", ["README"] = "" })
    assert.same({ "b", "c" }, ids { ["1.py"] = revision("a", "None"), ["2.py"] = revision("b", "['a']"),
      ["3.py"] = 'down_revision: Union[str, None] = "a"\r\nrevision = \'c\'\r\n' })
    assert.same({ "b" }, ids { ["1.py"] = revision("a", "None"),
      ["2.py"] = '# """ and it\'s\nx = "\\"#"\n"""\nrevision = "z"\n"""\nrevision = "b"\ndown_revision = "a"\n' })
  end)

  it("names what it cannot read, with the line", function()
    refused("1.py:8: down_revision is not a plain text", "journal", load, { ["1.py"] = revision("a", "make()") })
    refused("1.py: no `revision", "journal", load, { ["1.py"] = "x = 1" })
    refused("2.py: the revision a is there twice", "journal", load, { ["1.py"] = revision("a", "None"),
      ["2.py"] = revision("a", "None") })
    refused("1.py: down_revision z is the revision of no file", "journal", load, { ["1.py"] = revision("a", "'z'") })
    refused("form a circle", "journal", load, { ["1.py"] = revision("a", "'b'"), ["2.py"] = revision("b", "'a'") })
    refused("there are no revisions", "journal", load, {})
    refused("no folder of Alembic's versions", "config", alembic.load, "/nowhere")
  end)

  it("refuses several heads by name", function()
    local err = refused("Alembic has 2 heads: b, c", "journal", alembic.head, tmp.dir {
      ["1.py"] = revision("a", "None"), ["2.py"] = revision("b", "'a'"), ["3.py"] = revision("c", "'a'") })
    assert.equal('join them: alembic merge -m "merge" b c', err.hint)
    assert.matches("b /.*/2.py\nc /.*/3.py", err.detail)
  end)
end)

local ENV = [[
import os, re
from alembic import context
from sqlalchemy import create_engine, pool
url = re.sub("^postgres(ql)?:", "postgresql+psycopg2:", os.environ["DATABASE_URL"])
with create_engine(url, poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
]]

-- A virtual environment with Alembic: MIGRATOR_ALEMBIC names its `alembic`, or else it is made once for the run.
local function install()
  local environment = host.environment()
  if environment.MIGRATOR_ALEMBIC then return environment.MIGRATOR_ALEMBIC end
  local home = environment.XDG_CACHE_HOME or ""
  if home == "" then home = (environment.HOME or "/tmp") .. "/.cache" end
  local cache = home .. "/migrator-spec/alembic"
  local program = cache .. "/bin/alembic"
  if fs.find(program) then return program end
  local ok = pcall(function()
    for _, cmd in ipairs { { "python3", "-m", "venv", cache },
      { cache .. "/bin/pip", "install", "-q", "--retries", "1", "--timeout", "10",
        "alembic", "psycopg2-binary" } } do
      if process.run({ cmd = cmd, deadline = clock.deadline(120) }).code ~= 0 then error "failed" end
    end
  end)
  return ok and fs.find(program) and program or nil
end

describe("scripts/supabase.lua", function()
  local program, dir, url, name, conn

  setup(function() program = install() end)

  before_each(function()
    url, name = pg.database()
    conn = db.connect(url)
    dir = tmp.dir { ["alembic.ini"] = "[alembic]\nscript_location = alembic\n", ["alembic/env.py"] = ENV,
      ["alembic/versions/1_a.py"] = revision("a1", "None",
        'op.execute("create table note (id int, organization_id int)")'),
      ["alembic/versions/2_b.py"] = revision("b2", "'a1'",
        "op.execute(\"create table seen as select current_setting('lock_timeout') as t\")"),
      ["policies/10_note.sql"] = [[alter table note enable row level security;
alter table note force row level security;
drop policy if exists service on note; create policy service on note using (organization_id
  = (select nullif(current_setting('app.org', true), '')::int))]] }
  end)

  after_each(function()
    conn:close()
    pg.drop(name)
  end)

  local function run(more)
    local variables = { DATABASE_URL = url, ALEMBIC = (program or "alembic") .. " upgrade head" }
    for key, value in pairs(more or {}) do variables[key] = value end
    return cli.run { SCRIPT, cwd = dir, env = variables, seconds = 120 }
  end

  local function needs_alembic()
    if program then return end
    pending "Alembic cannot be installed here: python3 -m venv, pip install alembic psycopg2-binary"
  end

  it("upgrades with the real Alembic under lock_timeout, verifies its head, runs the policies, audits", function()
    needs_alembic()
    local ran = run { TENANT_COLUMN = "organization_id" }
    assert.equal(0, ran.code, ran.stdout .. ran.stderr)
    assert.matches("Verified: the database is at Alembic's head b2.", ran.stdout, 1, true)
    assert.matches("Repeatable: ran policies/10_note.sql (new)", ran.stdout, 1, true)
    assert.matches("Row-level security: nothing found.", ran.stdout, 1, true)
    assert.equal("5s", conn:value "select t from seen")
    assert.is_true(conn:value "select to_regclass('drizzle.__drizzle_migrations') is null")
    assert.matches("0 ran, 1 unchanged", run().stdout, 1, true)
  end)

  it("refuses several heads by name before anything runs", function()
    tmp.write(dir .. "/alembic/versions/3_c.py", revision("c3", "'a1'"))
    local ran = run { ALEMBIC = "touch " .. dir .. "/touched" }
    assert.equal(2, ran.code)
    assert.matches("Alembic has 2 heads: b2, c3", ran.stderr, 1, true)
    assert.is_nil(fs.find(dir .. "/touched"))
  end)

  it("stops the deploy when the migrator exits 0 and has done nothing", function()
    local ran = run { ALEMBIC = "true" }
    assert.equal(1, ran.code)
    assert.matches("Alembic's head is b2, but the database has no table of Alembic's", ran.stderr, 1, true)
    conn:script "create table alembic_version (version_num text); insert into alembic_version values ('a1')"
    ran = run { ALEMBIC = "true" }
    assert.matches("but the database has a1", ran.stderr, 1, true)
    conn:exec "update alembic_version set version_num = 'zz'"
    assert.matches("no file has the revision zz", run({ ALEMBIC = "true" }).stderr, 1, true)
    assert.is_nil(conn:row "select 1 from pg_namespace where nspname = 'migrator'")
  end)

  it("stops when Alembic fails, and leaves what it rolled back", function()
    needs_alembic()
    tmp.write(dir .. "/alembic/versions/3_c.py", revision("c3", "'b2'", 'op.execute("select 1/0")'))
    local ran = run()
    assert.equal(2, ran.code)
    assert.matches("division by zero", ran.stdout, 1, true)
    assert.matches("ended with exit code 1", ran.stderr, 1, true)
    assert.is_nil(conn:row "select 1 from pg_class where relname = 'note'")
  end)

  it("refuses the transaction pooler's port and suggests the direct URL, without the password", function()
    local ran = run {
      DATABASE_URL = "postgres://postgres.ref:s3cretword@pooler.example.org:6543/postgres?sslmode=require" }
    assert.equal(2, ran.code)
    assert.matches("transaction pooler (port 6543): use ", ran.stderr, 1, true)
    assert.matches("@pooler.example.org:5432/postgres", ran.stderr, 1, true)
    assert.not_matches("s3cretword", ran.stdout .. ran.stderr)
  end)
end)
