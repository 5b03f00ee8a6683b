local clock = require "migrator.core.clock"
local db = require "migrator.db"
local errors = require "migrator.error"
local host = require "migrator.core.host"
local pg = require "spec.support.pg"
local tmp = require "spec.support.tmp"

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

local function with(fn, opts)
  local conn <close> = db.connect(pg.server().url, opts)
  return fn(conn)
end

describe("db.connect", function()
  it("R46 opens one session and closes it, twice without harm", function()
    local conn = db.connect(pg.server().url)
    local pid = conn:info().pid
    conn:close()
    conn:close()
    assert.equal("closed", conn:status())
    with(function(other)
      require("spec.support.wait").till(function()
        return other:value("select count(*) from pg_stat_activity where pid = $1", pid) == 0
      end, 5)
    end)
  end)

  it("R50 R51 sets its time limits before the first statement", function()
    with(function(conn)
      assert.same({ { lock = "1500ms", statement = "1min", application = "migrator" } }, { conn:row [[select
        current_setting('lock_timeout') as lock, current_setting('statement_timeout') as statement,
        current_setting('application_name') as application]] })
    end, { lock_timeout = 1.5, statement_timeout = 60 })
  end)

  it("leaves settings alone that the URL asks for", function()
    local url = pg.server().url .. (pg.server().url:find("?", 1, true) and "&" or "?")
      .. "options=-c%20lock_timeout%3D7s"
    local conn <close> = db.connect(url, { lock_timeout = 5 })
    assert.equal("7s", conn:value "show lock_timeout")
  end)

  it("raises `connect` with SQLSTATE and a hint for a database that is not there", function()
    local err = raised(db.connect, (pg.server():url_of "no_such_db"))
    assert.same({ "connect", "3D000", "create the database, or correct its name in the URL" },
      { err.code, err.sqlstate, err.hint })
    assert.is_nil(err.retry)
  end)

  it("raises `connect`, worth a retry, when nobody listens", function()
    local port = require("migrator.core.http").find_port()
    local err = raised(db.connect, "postgresql://u@127.0.0.1:" .. port .. "/x")
    assert.same({ "connect", true }, { err.code, err.retry })
  end)

  it("gives up at its deadline when the server says nothing", function()
    local process = require "migrator.core.process"
    if not process.find "socat" then return pending("needs socat") end
    local port = require("migrator.core.http").find_port()
    local mute <close> = process.start { cmd = { "socat", "TCP-LISTEN:" .. port .. ",bind=127.0.0.1,fork",
      "SYSTEM:sleep 30" },
      log = "/dev/null" }
    require("spec.support.wait").till(function() return not require("migrator.core.http").port_free(port) end, 5)
    local started = clock.now()
    local err = raised(db.connect, "postgresql://u@127.0.0.1:" .. port .. "/x", { connect_timeout = 0.3 })
    assert.equal("connect", err.code)
    assert.is_true(clock.now() - started < 2)
    assert.is_true(mute:alive())
  end)

  it("R131 never repeats a password", function()
    local err = raised(db.connect, "postgresql://u:hunter2secret@127.0.0.1:1/x?nonsense=1")
    assert.not_matches("hunter2secret", tostring(err) .. (err.hint or ""), 1, true)
  end)
end)

describe("conn:exec", function()
  it("R141 gives every type its Lua value", function()
    with(function(conn)
      local row = conn:row [[select 9223372036854775807::int8 as big, 1.10::numeric(10,2) as exact, true as yes, null::text as none,
        '\x00ff'::bytea as bytes, '{"a": [1, null]}'::jsonb as doc, array[1, null, 3]::int4[] as list,
        array[array['a b', 'c"d'], array['', 'NULL'] ] as nested, 1.5::float8 as float, 'NaN'::float8 as nan,
        '2026-01-02 03:04:05.678+00'::timestamptz at time zone 'UTC' as at, '[0:1]={7,8}'::int4[] as bounds]]
      assert.equal(math.maxinteger, row.big)
      assert.equal("1.10", row.exact)
      assert.equal(true, row.yes)
      assert.equal(db.null, row.none)
      assert.equal("\0\255", row.bytes)
      assert.same({ a = { 1, db.null } }, row.doc)
      assert.same({ 1, db.null, 3 }, row.list)
      assert.same({ { "a b", 'c"d' }, { "", "NULL" } }, row.nested)
      assert.equal(1.5, row.float)
      assert.is_true(row.nan ~= row.nan)
      assert.equal("2026-01-02 03:04:05.678", row.at)
      assert.same({ 7, 8 }, row.bounds)
    end)
  end)

  it("R92 R141 takes the same values back as parameters", function()
    with(function(conn)
      local row = conn:row([[select $1::int8 as big, $2::bool as no, $3::text as none, $4::bytea as bytes, $5::int4[] as list,
        $6::jsonb as doc, $7::float8 as float, $8::text[] as texts]],
        math.mininteger, false, db.null, db.bytea "\0\\'", db.array { 1, db.null },
        db.json { a = 1 }, 0.1, db.array { 'a"b\\', "NULL", "" })
      assert.same({ big = math.mininteger, no = false, none = db.null, bytes = "\0\\'", list = { 1, db.null },
        doc = { a = 1 },
        float = 0.1, texts = { 'a"b\\', "NULL", "" } }, row)
    end)
  end)

  it("refuses a table or a NUL byte as a parameter, naming it", function()
    with(function(conn)
      assert.matches("parameter $2 is a table", raised(conn.exec, conn, "select $1, $2", 1, {}), 1, true)
      assert.matches("parameter $1 contains a NUL byte", raised(conn.exec, conn, "select $1::text", "a\0b"), 1, true)
    end)
  end)

  it("R41 raises `sql` with everything the server said, positions in characters", function()
    with(function(conn)
      local err = raised(conn.exec, conn, "select 'é', nope")
      assert.same({ "sql", "42703", 13, "ERROR" }, { err.code, err.sqlstate, err.position, err.severity })
      assert.equal(1, conn:value "select 1")
    end)
  end)

  it("cancels the statement at the session's deadline, and the session lives on", function()
    with(function(conn)
      conn:set_deadline(clock.deadline(0.2))
      assert.equal("timeout", raised(conn.exec, conn, "select pg_sleep(20)").code)
      conn:set_deadline(nil)
      assert.equal(1, conn:value "select 1")
    end)
  end)

  it("R48 raises `connect` when the backend is killed, and never says that all is well", function()
    with(function(conn)
      with(function(other) other:exec("select pg_terminate_backend($1)", conn:info().pid) end)
      assert.equal("connect", raised(conn.exec, conn, "select 1").code)
      assert.equal("connect", raised(conn.exec, conn, "select 1").code)
    end)
  end)
end)

describe("conn:transaction", function()
  it("R79 commits on return, rolls back on error and keeps the first error", function()
    with(function(conn)
      conn:exec "create temp table t (v int)"
      conn:transaction(function() conn:exec "insert into t values (1)" end)
      assert.matches("mine", raised(conn.transaction, conn, function()
        conn:exec "insert into t values (2)"
        error("mine")
      end), 1, true)
      assert.equal(1, conn:value "select count(*) from t")
    end)
  end)

  it("R96 R118 takes a role and settings for its time only", function()
    with(function(conn)
      conn:exec "drop role if exists migrator_test_role"
      conn:exec "create role migrator_test_role"
      local seen = conn:transaction(function()
        return conn:row "select current_user::text as who, current_setting('app.tenant_id') as tenant"
      end, { role = "migrator_test_role", vars = { ["app.tenant_id"] = "o'1" }, rollback = true })
      assert.same({ who = "migrator_test_role", tenant = "o'1" }, seen)
      assert.not_equal("migrator_test_role", conn:value "select current_user::text")
      conn:exec "drop role migrator_test_role"
    end)
  end)

  it("refuses one inside another, and options it does not know", function()
    with(function(conn)
      assert.matches("under way in this session already", raised(conn.transaction, conn, function()
        conn:transaction(function() end)
      end).message, 1, true)
      local err = raised(conn.transaction, conn, function() end, { rol = "x" })
      assert.equal('transaction has no option "rol"', err.message)
    end)
  end)

  it("notices a transaction that was ended from inside", function()
    with(function(conn)
      assert.matches("ended from inside", raised(conn.transaction, conn, function() conn:script "commit" end).message,
        1, true)
    end)
  end)
end)

describe("conn:batch", function()
  it("gives results in order, and the number of the statement that failed", function()
    with(function(conn)
      local batch <close> = conn:batch()
      for i = 1, 3 do batch:queue("select $1::int4 as v", i) end
      batch:queue "select 1/0"
      batch:queue "select 5"
      batch:sync()
      for i = 1, 3 do assert.equal(i, batch:next()[1].v) end
      local err = raised(batch.next, batch)
      assert.same({ "22012", 4 }, { err.sqlstate, err.index })
      assert.equal("aborted", batch:next())
      assert.equal("sync", batch:next())
      assert.is_nil(batch:next())
    end)
  end)

  it("can be dropped in the middle, and the session is free again", function()
    with(function(conn)
      local batch = conn:batch()
      for _ = 1, 50 do batch:queue "select pg_sleep(0.001)" end
      assert.matches("busy", raised(conn.exec, conn, "select 1"), 1, true)
      batch:close()
      assert.equal(1, conn:value "select 1")
    end)
  end)

  it("says whether an answer is there, and waits for none", function()
    with(function(conn)
      local batch <close> = conn:batch()
      assert.is_false(batch:ready())
      batch:queue "select 1"
      batch:flush()
      batch:queue "select pg_sleep(0.2)"
      batch:sync()
      batch:poll()
      assert.is_true(batch:wait())
      assert.is_true(batch:ready())
      batch:next()
      batch:poll()
      assert.is_false(batch:ready())
      batch:next()
      assert.equal("sync", batch:next())
      assert.is_false(batch:ready())
    end)
  end)

  it("ends behind its last sync without another trip", function()
    with(function(conn)
      local batch = conn:batch()
      batch:queue "select 1"
      batch:sync()
      batch:next()
      local trips = conn:round_trips()
      batch:close()
      assert.equal(trips, conn:round_trips())
      assert.equal(1, conn:value "select 1")
    end)
  end)

  it("takes more than fits into any buffer without stalling", function()
    with(function(conn)
      local batch <close> = conn:batch()
      local text = ("x"):rep(20000)
      for _ = 1, 500 do batch:queue("select $1::text as v", text) end
      batch:sync()
      for _ = 1, 500 do assert.equal(20000, #batch:next()[1].v) end
    end)
  end)
end)

describe("COPY", function()
  it("R91 R99 carries every awkward byte there and back", function()
    with(function(conn)
      conn:exec "create temp table t (id int, v text)"
      local values = { "tab\there", "new\nline", "back\\slash", "\\N", "\\.", "cr\rlf\r\n", "", "é\u{1F600}",
        '"quoted"', "\b\f\v" }
      local n = 0
      assert.equal(#values + 1, conn:copy_rows("t", { "id", "v" }, function()
        n = n + 1
        if n <= #values then return { n, values[n] } end
        if n == #values + 1 then return { n, db.null } end
      end))
      local rows = conn:exec "select v from t order by id"
      for i, value in ipairs(values) do assert.equal(value, rows[i].v) end
      assert.equal(db.null, rows[#values + 1].v)
    end)
  end)

  it("says which line and column the server refused, and the session lives on", function()
    with(function(conn)
      conn:exec "create temp table t (id int)"
      local err = raised(function()
        local copy <close> = conn:copy_in "copy t from stdin"
        copy:row(1)
        copy:row("x")
        copy:finish()
      end)
      assert.same({ "22P02", "COPY t, line 2, column id: \"x\"" }, { err.sqlstate, err.context })
      assert.equal(0, conn:value "select count(*) from t")
    end)
  end)

  it("is abandoned when its scope ends early", function()
    with(function(conn)
      conn:exec "create temp table t (id int)"
      do
        local copy <close> = conn:copy_in "copy t from stdin"
        copy:row(1)
      end
      assert.equal(0, conn:value "select count(*) from t")
    end)
  end)

  it("reads rows out one by one", function()
    with(function(conn)
      local copy <close> = conn:copy_out "copy (select generate_series(1, 3)) to stdout"
      local out = {}
      for chunk in copy.read, copy do out[#out + 1] = chunk end
      assert.same({ "1\n", "2\n", "3\n" }, out)
    end)
  end)

  it("refuses a statement that is no COPY, and an exec that is one", function()
    with(function(conn)
      assert.equal("usage", raised(conn.copy_in, conn, "select 1").code)
      assert.matches("copy_in or conn:copy_out", raised(conn.exec, conn, "copy (select 1) to stdout"), 1, true)
      assert.equal(1, conn:value "select 1")
    end)
  end)
end)

describe("the allocation ladder", function()
  ---Runs fn with 0, 1, 2 … allocations allowed until it succeeds; it must fail by memory error only.
  local function climb(fn)
    for steps = 0, 5000 do
      collectgarbage()
      local ok, err = host.fail_alloc(steps, fn)
      if ok then return steps end
      assert.is_true(err == "not enough memory" or errors.is(err), tostring(err))
    end
    error("never succeeded")
  end

  it("R140 finds an owner for everything, in exec, batch, COPY and connect", function()
    local url = pg.server().url
    local keywords = require("migrator.lib.url").conninfo(url)
    local core = require "migrator.core.db"
    assert.is_true(climb(function()
      local conn <close> = core.open(keywords)
      return conn ~= nil
    end) > 0)
    climb(function()
      local later <close> = core.open_later(keywords, nil, { "select $1", "select 2 as two" })
      local taken, answers = later:take()
      local _ <close> = taken
      repeat local answer = answers:next() until answer == nil
      return taken:status()
    end)
    with(function(conn)
      conn:exec "create temp table t (id int, v text)"
      assert.is_true(climb(function() conn:exec("select $1::text as a, array[1, 2] as b, true as c",
        "x") end) > 10)
      climb(function() conn:script "select 1; select 2" end)
      climb(function()
        local batch <close> = conn:batch()
        batch:queue("select $1", "x")
        batch:sync()
        batch:next()
      end)
      climb(function()
        local copy <close> = conn:copy_in "copy t from stdin"
        copy:row(1, "a")
        copy:finish()
      end)
      local path = tmp.dir { ["a.csv"] = "1,x\n" } .. "/a.csv"
      climb(function()
        local copy <close> = conn:copy_in "copy t from stdin"
        copy:values({ 1, "a" }, 2)
        copy:fields({ id = 1, v = ("a"):rep(1000) }, { "id", "v" })
        copy:json_columns({ "id", "v" }, { "plain", "plain" })
        copy:json_lines('{"id":1,"v":"x"}\n', 1)
        copy:finish()
      end)
      climb(function()
        local copy <close> = conn:copy_in "copy t from stdin with (format csv)"
        copy:csv_file(path)
        copy:finish()
        core.locate_csv(path, false, 1)
      end)
      assert.equal("idle", conn:status())
      assert.equal(1, conn:value "select 1")
    end)
  end)
end)
