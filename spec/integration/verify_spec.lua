local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local errors = require "migrator.error"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local verify = require "migrator.verify"

local TROVELLA = "spec/fixtures/trovella/migrations"

local function run(url, dir, ...) return cli.run { "verify", "--dir", dir, "--url", url, ... } end

local function script(url, text)
  local conn <close> = db.connect(url)
  conn:script(text)
end

---A database with Trovella's ten in it, copied from one that was migrated once.
local migrated
local function database()
  if not migrated then
    local url, name = pg.database("verify")
    assert(cli.run({ "migrate", "--dir", TROVELLA, "--url", url, "--quiet" }).code == 0)
    migrated = name
  end
  return (pg.database(nil, migrated))
end

local function rules(verdict)
  local out = {}
  for i, finding in ipairs(verdict.findings) do out[i] = finding.rule .. ":" .. finding.severity end
  return out
end

---A verdict that is judged only here, and off the list of failures afterwards.
local function look(url, dir, policy)
  local verdict = verify.run { url = url, dir = dir, policy = policy, log = function() end }
  if not verdict.ok then verdict:acknowledge("a spec") end
  return verdict
end

describe("verify", function()
  it("R101 says in one line that the database has all of them", function()
    local ran = run(database(), TROVELLA)
    assert.same({ 0, "Verified: database has all 10 migrations.\n", "" }, { ran.code, ran.stdout, ran.stderr })
  end)

  it("R100 R36 names both counts in the exact lines", function()
    local url = database()
    script(url, "insert into drizzle.__drizzle_migrations (hash, created_at) values ('0', 1)")
    local ahead = run(url, TROVELLA, "--policy", "count")
    assert.equal(1, ahead.code)
    assert.truthy(ahead.stderr:find("error: Database has 11 migrations but local journal only has 10\n", 1, true))
    script(url, "delete from drizzle.__drizzle_migrations where id in (3, 11, 12)")
    script(url, "delete from drizzle.__drizzle_migrations where hash = '0'")
    local behind = run(url, TROVELLA, "--policy", "count")
    assert.equal(1, behind.code)
    assert.truthy(behind.stderr:find("error: Migration count mismatch: database has 9 but expected 10\n", 1, true))
    assert.equal("", behind.stdout)
  end)

  it("calls an empty database a mismatch, not an error of the server", function()
    local ran = run(pg.database(), TROVELLA)
    assert.equal(1, ran.code)
    assert.truthy(ran.stderr:find("Migration count mismatch: database has 0 but expected 10", 1, true))
  end)

  it("R102 finds with `set` what counts alone do not", function()
    local url = database()
    script(url, "update drizzle.__drizzle_migrations set hash = repeat('a', 64), created_at = 5 where id = 4")
    assert.is_true(look(url, TROVELLA, "count").ok)
    assert.same({ "not-applied:error", "unknown-row:error" }, rules(look(url, TROVELLA, "set")))
  end)

  it("R102 R37 finds another hash with `strict` only", function()
    local url = database()
    script(url, "update drizzle.__drizzle_migrations set hash = repeat('a', 64) where id = 4")
    assert.is_true(look(url, TROVELLA, "set").ok)
    local verdict = look(url, TROVELLA, "strict")
    assert.same({ "hash:error" }, rules(verdict))
    assert.equal("0003_abandoned_ender_wiggin", verdict.findings[1].object)
    assert.equal(("a"):rep(64), verdict.findings[1].actual)
  end)

  it("warns only when nothing but line endings differ", function()
    local url = pg.database()
    local dir = project.write { { "0000_a", "create table a (i int);\n" } }
    cli.run { "migrate", "--dir", dir, "--url", url, "--quiet" }
    require("migrator.core.fs").write(dir .. "/0000_a.sql", "create table a (i int);\r\n")
    assert.same({ "line-endings:warning" }, rules(look(url, dir)))
  end)

  it("R104 finds an INVALID index, and warns of constraints that are NOT VALID", function()
    local url = database()
    script(url, [[create table t (i int); insert into t values (1), (1);
      alter table t add constraint positive check (i > 0) not valid]])
    local conn <close> = db.connect(url)
    pcall(conn.script, conn, "create unique index concurrently broken on t (i)")
    local verdict = look(url, TROVELLA)
    assert.is_false(verdict.ok)
    assert.same({ "invalid-index:error", "not-validated:warning" }, rules(verdict))
    assert.equal("public.broken", verdict.findings[1].object)
    assert.truthy(verdict.findings[2].message:find("VALIDATE CONSTRAINT positive", 1, true))
  end)

  it("finds a row that is there twice, one without created_at, and one out of order", function()
    local url = database()
    script(url, [[insert into drizzle.__drizzle_migrations (hash, created_at)
      select hash, created_at from drizzle.__drizzle_migrations where id = 2;
      update drizzle.__drizzle_migrations set created_at = null where id = 5;
      update drizzle.__drizzle_migrations set id = 100 where id = 7]])
    local found = {}
    for _, rule in ipairs(rules(look(url, TROVELLA))) do found[rule] = true end
    assert.same({ ["count:error"] = true, ["duplicate-row:error"] = true, ["no-date:warning"] = true,
      ["order:warning"] = true }, found)
  end)

  it("hashes as Drizzle does, whatever the bytes", function()
    local url = pg.database()
    local texts = { "select 1;\r\n", "", "\u{FEFF}select 1;", "select 'caf\xE9';",
      "-- \xF0\x9F\x98A \xE2\x82\nselect 1",
      "select '\\x41', E'\\\\';", "select '\u{1F600}'" }
    local list = {}
    for i, text in ipairs(texts) do list[i] = { ("%04d_m"):format(i - 1), text } end
    local dir = project.write(list)
    assert.equal(0, cli.run({ "migrate", "--dir", dir, "--url", url, "--quiet" }).code)
    assert.same({}, rules(look(url, dir)))
  end)

  it("R16 refuses a journal that PostgreSQL cannot read, and one without entries", function()
    local fs = require "migrator.core.fs"
    for text, message in pairs { ['{"entries": [}'] = "invalid input syntax for type json", ["{}"] = 'no "entries"',
      ['{"entries": [{"tag": "x", "when": 1.5}]}'] = "not a whole number",
      ['{"entries": [{"when": 1}]}'] = "has no tag",
      ['{"entries": [{"tag": "x", "when": 1}]}'] = "there is no file" } do
      local dir = project.write {}
      fs.write(dir .. "/meta/_journal.json", text)
      local ran = run(pg.database(), dir)
      assert.equal(2, ran.code)
      assert.truthy(ran.stderr:find(message, 1, true), ran.stderr)
    end
  end)

  it("prints one JSON document, on failure too", function()
    local url = database()
    script(url, "update drizzle.__drizzle_migrations set hash = repeat('a', 64) where id = 4")
    local ran = run(url, TROVELLA, "--json")
    local document = cjson.decode(ran.stdout)
    assert.equal(1, ran.code)
    assert.same({ false, "strict", 10, 10, "hash" }, { document.ok, document.policy, document.database,
      document.expected, document.findings[1].rule })
  end)

  it("refuses a policy that does not exist", function()
    assert.equal(2, run(database(), TROVELLA, "--policy", "strickt").code)
  end)
end)

describe("verify.check", function()
  it("R109 takes a function as policy, facts in, findings out", function()
    local facts
    local verdict = look(database(), TROVELLA, function(given)
      facts = given
      return { { severity = "error", rule = "mine", message = "no good" } }
    end)
    assert.same({ false, "no good", 10, 10 }, { verdict.ok, verdict:summary(), #facts.rows, #facts.entries })
  end)

  it("R109 does not take a policy's odd answers for consent", function()
    local url = database()
    for _, answer in ipairs { false, { severity = "error", message = "x" }, { { severity = "fatal", message = "x" } },
      { { severity = "error" } } } do
      local ok, err = pcall(verify.check, { url = url, dir = TROVELLA, policy = function() return answer or nil end })
      assert.same({ false, true }, { ok, errors.is(err, "script") })
    end
  end)

  it("R109 keeps a failing verdict on the list, though its error is swallowed, until it is acknowledged", function()
    local url = pg.database()
    local logged
    local ok, err = pcall(verify.check, { url = url, dir = TROVELLA, log = function(_, text) logged = text end })
    assert.same({ false, true }, { ok, errors.is(err, "verify") })
    local failures = verify.pending_failures()
    assert.equal(err.verdict, failures[#failures])
    assert.has_error(function() err.verdict:acknowledge(" ") end)
    err.verdict:acknowledge("restored from a backup")
    assert.equal(#failures - 1, #verify.pending_failures())
    assert.truthy(logged:find("restored from a backup", 1, true))
  end)

  it("writes nothing: it works where the session is read-only", function()
    local url = database()
    local separator = url:find("?", 1, true) and "&" or "?"
    local verdict = look(url .. separator .. "options=-cdefault_transaction_read_only%3Don", TROVELLA)
    assert.is_true(verdict.ok)
  end)
end)
