-- The core of the engine on the server of DATABASE_URL, driven through the command line; `run` calls it once a server.
local program = env.require "MIGRATOR"
local tally = { passed = 0, failed = 0, skipped = 0 }
local server = math.tointeger(tonumber(db.exec("show server_version_num")[1].server_version_num))
local made = 0

local function database()
  made = made + 1
  local name = ("servers_%d"):format(made)
  db.exec("create database " .. name)
  return (env.require("DATABASE_URL"):gsub("/postgres%?", "/" .. name .. "?"))
end

local function migrator(url, ...)
  return process.run { cmd = { program, ... }, env = { DATABASE_URL = url }, deadline = clock.deadline(60) }
end

local function must(ran, code, text)
  if ran.code ~= code or (text and not (ran.stdout .. ran.stderr):find(text, 1, true)) then
    error(("exit code %s instead of %d, or no %q in:\n%s%s"):format(ran.code, code, text or "", ran.stdout, ran.stderr),
      0)
  end
end

local function equal(found, expected, what)
  if found ~= expected then error(("%s: %s instead of %s"):format(what, tostring(found), tostring(expected)), 0) end
end

local function ask(url, sql)
  local conn <close> = db.connect(url)
  return conn:value(sql)
end

local function check(name, from, fn)
  if server < from then
    tally.skipped = tally.skipped + 1
    return log.print(("skipped %s: from PostgreSQL %d"):format(name, from // 10000))
  end
  local ok, err = pcall(fn)
  tally[ok and "passed" or "failed"] = tally[ok and "passed" or "failed"] + 1
  log.print(ok and "ok      " .. name or ("FAILED  %s\n%s"):format(name, tostring(err)))
end

-- A journal of these texts, in a folder of its own.
local function journal_of(files)
  local dir = fs.temp("migrator-servers")
  local entries = {}
  fs.mkdir(dir .. "/meta")
  for i, text in ipairs(files) do
    local tag = ("%04d_step"):format(i - 1)
    fs.write(("%s/%s.sql"):format(dir, tag), text)
    entries[i] = { idx = i - 1, version = "7", when = 1700000000000 + i, tag = tag, breakpoints = true }
  end
  fs.write(dir .. "/meta/_journal.json", json.encode { version = "7", dialect = "postgresql", entries = entries })
  return setmetatable({ path = dir }, { __close = function() fs.remove(dir) end })
end

local function applies(files, sql, expected)
  return function()
    local url, folder <close> = database(), journal_of(files)
    must(migrator(url, "migrate", "--dir", folder.path), 0, ("Applied %d new migration(s)."):format(#files))
    must(migrator(url, "verify", "--dir", folder.path), 0)
    must(migrator(url, "migrate", "--dir", folder.path), 0, "Applied 0 new migration(s).")
    equal(ask(url, sql), expected, sql)
  end
end

local TROVELLA = "spec/fixtures/trovella"

check("trovella: migrate, status, verify, again", 0, function()
  local url = database()
  must(migrator(url, "migrate", "--dir", TROVELLA .. "/migrations"), 0,
    "Migrations complete. Applied 10 new migration(s).")
  must(migrator(url, "status", "--dir", TROVELLA .. "/migrations"), 0,
    "Migration state: 10 applied, 10 expected, 0 pending")
  must(migrator(url, "verify", "--dir", TROVELLA .. "/migrations"), 0, "Verified: database has all 10 migrations.")
  must(migrator(url, "migrate", "--dir", TROVELLA .. "/migrations"), 0, "Applied 0 new migration(s).")
  equal(ask(url, [[select string_agg(id || e'\t' || hash || e'\t' || created_at || e'\n', '' order by id)
    from drizzle.__drizzle_migrations]]), fs.read(TROVELLA .. "/expected/tracking.tsv"), "tracking rows")
end)

check("concurrently: outside a transaction, valid", 0, applies({ "create table t (a int);",
  "create index concurrently t_a on t (a);\n--> statement-breakpoint\ncreate unique index concurrently t_b on t (a);" },
  "select count(*) from pg_index where indrelid = 't'::regclass and indisvalid", 2))

check("concurrently: behind COMMIT, as Drizzle users write it", 0, applies({ "create table t (a int);",
  "alter table t add b int;\n--> statement-breakpoint\nCOMMIT;\n--> statement-breakpoint\n"
  .. "create index concurrently t_b on t (b);" },
    "select count(*) from pg_index where indrelid = 't'::regclass and indisvalid", 1))

check("enum value used in the run that adds it", 0,
  applies({ "create type mood as enum ('sad');\ncreate table p (m mood);",
  "alter type mood add value 'ok';", "insert into p values ('ok');" }, "select m::text from p", "ok"))

check("value added to an older enum and used in one run", 0, function()
  local url, folder <close> = database(), journal_of { "alter type mood add value 'ok';",
    "create table p as select 'ok'::mood as m;" }
  local conn <close> = db.connect(url)
  conn:exec "create type mood as enum ('sad')"
  must(migrator(url, "migrate", "--dir", folder.path), 0, "Applied 2 new migration(s).")
  must(migrator(url, "verify", "--dir", folder.path), 0)
  equal(ask(url, "select m::text from p"), "ok", "the value")
end)

check("procedure that commits", 0, applies({ "create table t (a int);",
  "create procedure fill() language plpgsql as $$\n"
  .. "begin insert into t values (1); commit; insert into t values (2); end $$;",
  "call fill();" }, "select sum(a) from t", 3))

check("failure: everything of the run is rolled back", 0, function()
  local url, folder <close> = database(), journal_of { "create table a (x int);", "create table b (y nosuch);" }
  local ran = migrator(url, "migrate", "--dir", folder.path)
  must(ran, 1, "42704")
  must(ran, 1, "0001_step.sql:1:19")
  equal(ask(url, "select to_regclass('a') is null"), true, "table a is gone")
end)

check("lock: a second run waits, and names the first", 0, function()
  local url, folder <close> = database(), journal_of { "select pg_sleep(30);" }
  local first = process.start { cmd = { program, "migrate", "--dir", folder.path }, env = { DATABASE_URL = url } }
  local deadline = clock.deadline(10)
  repeat
    clock.sleep(0.05)
    local found = ask(url, "select count(*) from pg_locks where locktype = 'advisory' and granted and database = "
      .. "(select oid from pg_database where datname = current_database())")
  until found > 0 or clock.now() > deadline
  local ran = migrator(url, "migrate", "--dir", folder.path, "--wait", "0")
  first:stop()
  must(ran, 5, "another run holds the lock: pid ")
end)

check("begin atomic", 140000, applies({ "create table t (a int);",
  "create function f() returns bigint language sql begin atomic; select 1; select count(*) from t; end;\n"
  .. "--> statement-breakpoint\ninsert into t values (1), (2);" }, "select f()", 2))
check("nulls not distinct, security invoker", 150000, applies({
  "create table t (a int unique nulls not distinct);\ncreate view v with (security_invoker) as select * from t;",
  "merge into t using (values (1)) s(a) on t.a = s.a when not matched then insert values (s.a);" }, "select a from v",
    1))
check("syntax of 16: storage, json constructors", 160000,
  applies({ "create table t (a text storage external, b jsonb);",
  "insert into t values ('x', json_object('k' value 1 returning jsonb));" }, "select b->>'k' from t", "1"))
check("syntax of 17: merge returning, json_table", 170000, applies({ "create table t (a int);",
  "merge into t using (select a from json_table('[4]', '$[*]' columns (a int path '$'))) s on t.a = s.a\n"
  .. "when not matched then insert values (s.a) returning t.a;" }, "select a from t", 4))
check("syntax of 18: virtual columns, without overlaps, old and new, uuidv7", 180000, applies({
  "create table t (a int, b int generated always as (a * 2) virtual, id uuid default uuidv7());",
  "create table r (i int4range, d daterange, unique (i, d without overlaps));",
  "insert into t values (2);\nupdate t set a = 3 returning old.a, new.a;" }, "select b from t", 6))

log.print(("%d passed, %d failed, %d skipped"):format(tally.passed, tally.failed, tally.skipped))
return tally.failed == 0
