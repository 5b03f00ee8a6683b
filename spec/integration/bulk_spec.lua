local cli = require "spec.support.cli"
local db = require "migrator.db"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local run = require "migrator.seed.run"
local tiers = require "migrator.seed.tiers"
local tmp = require "spec.support.tmp"

local DECLARATION = 'return { order = 1, environments = { "development" }, idempotent = false }'

describe("bulk loading", function()
  local conn, url, name

  before_each(function()
    url, name = pg.database()
    conn = db.connect(url)
    conn:script [[create table item (id int check (id <> 13), name text, price numeric);
      create table kept (id int primary key, name text not null check (name <> 'bad'), owner int);
      create table form (id int, n numeric, f float8, t text, b boolean, j jsonb, w json, a text[], m int[],
        aj jsonb[])]]
  end)

  after_each(function()
    conn:close()
    pg.drop(name)
  end)

  local function failure(fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_true(errors.is(err), tostring(err))
    assert.equal("idle", conn:status())
    return err
  end

  local function seed(script, files)
    files["a/tier.lua"], files["a/10_go.lua"] = DECLARATION, script
    local config = { seeds = tmp.dir(files), environment = { NODE_ENV = "development" },
      environment_variable = "NODE_ENV", hosts = {}, url = url, unsafe = false }
    return run.tiers(config, conn, tiers.select(config).tiers)[1].tables
  end

  local function count(table_name) return conn:value("select count(*) from " .. table_name) end

  ---Where the error says the row is: file, line, row, and what the message says of it.
  local function place(err)
    return { err.file and err.file:match("[^/]+$"), err.line, err.row, err.message:match("item, row %d+[^:]*") }
  end

  describe("conn.copy_file", function()
    local function file(text) return tmp.dir { ["a.csv"] = text } .. "/a.csv" end

    it("takes the columns from the header, whatever their order, and the file's own dialect (R99)", function()
      assert.equal(2, conn:copy_file("item", file('\u{FEFF}"price",name,id\r\n1.50,"a ""b"", c",1\r\n,"",2')))
      assert.same({ "a \"b\", c", "1.50", "", db.null }, { conn:value "select name from item where id = 1",
        conn:value "select price from item where id = 1", conn:value "select name from item where id = 2",
        conn:value "select price from item where id = 2" })
      assert.equal(1, conn:copy_file("item", file("\u{FEFF}3;-\n"), { header = false, delimiter = ";", null = "-",
        columns = { "id", "name" } }))
      assert.is_true(conn:value "select name is null from item where id = 3")
    end)

    it("takes an empty file, and one that has only a header", function()
      assert.equal(0, conn:copy_file("item", file ""))
      assert.equal(0, conn:copy_file("item", file "id,name\n"))
    end)

    it("names row, column, file and line, behind quoted line ends too (R91)", function()
      assert.same({ "a.csv", 5, 3, "item, row 3, column id" }, place(failure(conn.copy_file, conn, "item",
        file 'id,name\n1,"two\nlines"\n2,x\ny,z\n')))
      assert.same({ "a.csv", 4, 2, "item, row 2, column id" }, place(failure(conn.copy_file, conn, "item",
        file 'id,name\r\n1,"two\r\nlines"\r\ny,"more\r\nlines"\r\n')))
      assert.same({ "a.csv", 2, 1, "item, row 1" }, place(failure(conn.copy_file, conn, "item",
        file 'id,name\n13,"two\nlines"\n')))
      assert.same({ "a.csv", 1, 1, "item, row 1, column id" }, place(failure(conn.copy_file, conn, "item",
        file "x,y\n", { header = false, columns = { "id", "name" } })))
      assert.equal(0, count "item")
    end)

    it("refuses a line that ends a COPY early, at any place in the file", function()
      for _, before in ipairs { 0, 65524, 65525, 65526, 65527, 65528, 65529, 65530, 131060 } do
        local text = "name\n" .. ("x"):rep(before) .. "\n\\."
        for _, behind in ipairs { "\n1\n", "\r\n1\r\n", "" } do
          local err = failure(conn.copy_file, conn, "item", file(text .. behind))
          assert.same({ "usage", 3 }, { err.code, err.line })
        end
      end
      assert.equal(2, conn:copy_file("item", file "name\n\\.x\n\\..\n"))
    end)

    it("refuses a file that is not there, and an unknown option", function()
      assert.equal("usage", failure(conn.copy_file, conn, "item", "/nowhere/a.csv").code)
      assert.equal("usage", failure(conn.copy_file, conn, "item", file "id\n", { headers = true }).code)
    end)
  end)

  describe("conn.copy_rows", function()
    it("names row and column of what the server refuses, and of what it never sees (R91)", function()
      local err = failure(conn.copy_rows, conn, "item", { "id" }, { { 1 }, { 2 }, { "x" }, { 4 } })
      assert.same({ 3, "item, row 3, column id" }, { err.row, err.message:match("item, row %d+[^:]*") })
      for _, case in ipairs { { { 1, {} }, "row 2, column name: a table" },
        { { 1, "\0" }, "row 2, column name: a NUL" }, { { 1, "a", 2 }, "row 2 has more values" } } do
        err = failure(conn.copy_rows, conn, "item", { "id", "name" }, { { 1, "a" }, case[1] })
        assert.same({ "usage", 2 }, { err.code, err.row })
        assert.matches(case[2], err.message, 1, true)
      end
      assert.equal(0, count "item")
    end)

    it("writes numbers so that they come back as they were", function()
      local given = { 0, -1, math.maxinteger, math.mininteger, 0.1, 1e300, -2.5, 1e15, 123456.789 }
      local i = 0
      conn:copy_rows("form", { "id", "t" }, function()
        i = i + 1
        if given[i] then return { i, given[i] } end
      end)
      for n, row in ipairs(conn:exec "select t from form order by id") do
        assert.equal(given[n], tonumber(row.t))
      end
      assert.equal("0.1", conn:value "select t from form where id = 5")
    end)

    it("leaves nothing behind when the iterator raises half way, and the session lives on", function()
      local n = 0
      local err = failure(conn.copy_rows, conn, "item", { "id", "name" }, function()
        n = n + 1
        if n > 50000 then errors.raise("usage", "enough") end
        return { n + 100, ("x"):rep(20) }
      end)
      assert.equal("enough", err.message)
      assert.equal(0, count "item")
    end)

    it("is over when the deadline passes, and the session lives on", function()
      local clock = require "migrator.core.clock"
      conn:set_deadline(clock.deadline(0.3))
      local err = failure(conn.copy_rows, conn, "item", { "id" }, function() return { 1 } end)
      conn:set_deadline(nil)
      assert.equal("timeout", err.code)
      assert.equal(0, count "item")
    end)

    it("notices the end of its backend before the rows end, with the server's words", function()
      local pid, n = conn:value "select pg_backend_pid()", 0
      local ok, err = pcall(conn.copy_rows, conn, "item", { "id", "name" }, function()
        n = n + 1
        if n == 10000 then pg.admin():exec("select pg_terminate_backend($1, 5000)", pid) end
        if n < 1e6 then return { n + 100, "name" } end
      end)
      assert.is_false(ok)
      assert.equal("connect", err.code)
      assert.matches("administrator command", err.message)
      assert.is_true(n < 1e6, "it went on to the end")
      conn = db.connect(url)
      assert.equal(0, count "item")
    end)
  end)

  describe("seed.copy", function()
    it("names row, column, file and line of a bad row, for each kind of source (R91)", function()
      local text = {}
      for i = 1, 3000 do text[i] = ('{"id": %s, "name": "n"}\n'):format(i == 2500 and '"x"' or i + 20) end
      local lines = "\n" .. table.concat(text)
      local script = 'seed.copy("item", nil, seed.%s)'
      local function fails(source, files) return place(failure(seed, script:format(source), files)) end
      assert.same({ "b.jsonl", 2501, 2500, "item, row 2500, column id" }, fails('jsonl "b.jsonl"',
        { ["a/b.jsonl"] = lines }))
      assert.same({ "b.csv", 4, 2, "item, row 2, column id" }, fails('csv "b.csv"',
        { ["a/b.csv"] = 'id,name\n1,"a\nb"\nx,y\n' }))
      assert.same({ "b.csv", 3, 2, "item, row 2, column id" }, fails('csv("b.csv", { header = false, columns = '
        .. '{ "id", "name" } })', { ["a/b.csv"] = '1,"a\nb"\nx,y\n' }))
      local err = failure(seed, [[local n = 0
        seed.copy("item", { "id" }, function()
          n = n + 1
          return n < 70 and { n == 60 and 13 or n + 100 } or nil
        end)]], {})
      assert.same({ "10_go.lua", 2, 60, "item, row 60" }, place(err))
      assert.equal(0, count "item")
    end)

    it("names the line that is no row at all", function()
      for line, want in pairs { ['{"id":1}'] = 'column "name" has no value', ['{"id":1,"name":"a","x":2}'] = '"x"',
        ['{"id":1,"name":}'] = "not valid JSON", ['{"id":1,"id":2,"name":"a"}'] = "stands there twice",
        ['[1]'] = "not a JSON object", ['{"id":1,"name":"a"} x'] = "behind the value",
        ['{"id":01,"name":"a"}'] = "bad number", ['{"id":1,"name":"\\ud800"}'] = "surrogate",
        ['{"id":1,"name":{}}'] = "table cannot be written", ['{"id":1,"name":"\\u0000"}'] = "NUL" } do
        local err = failure(seed, 'seed.copy("item", nil, seed.jsonl "b.jsonl")',
          { ["a/b.jsonl"] = '{"id":0,"name":"a"}\n\n{"id":0,"name":"b"}\n' .. line .. "\n" })
        assert.matches(want, err.message, 1, true)
        if want ~= "NUL" then assert.same({ "b.jsonl", 4 }, { err.file:match("[^/]+$"), err.line }, line) end
      end
    end)

    it("writes every JSON value as its column takes it", function()
      local odd = [["q\"b\\s/\b\f\n\r\t\u00e9\ud83d\ude00\u0001"]]
      local plain = '{"id":1,"n":0,"f":0,"t":"","b":false,"j":1,"w":1,"a":[],"m":[],"aj":[]}\n'
      seed('seed.copy("form", nil, seed.jsonl "f.jsonl")', { ["a/f.jsonl"] = plain
        .. (' { "aj" : [{"k": "\\"\\\\"}, null, [1]] , "m":[[1,2],[3,4]],'
          .. '"a":["x,y",%s,null,true,1.5,"{}",""],'
          .. '"w":{"b":1,"a":[1.0]},"j":%s,"b":true,"t":%s,"f":1e14,"n":1234567890123456789.123456789012345678,"id":2}')
          :format(odd, odd, odd) .. "\r\n" .. plain:gsub('"id":1', '"id":3.0'):gsub('"t":""', '"t":1e2'):gsub("%[%]",
          "null"):gsub("false", "null") })
      local text = 'q"b\\s/\b\f\n\r\té\u{1F600}\1'
      local row = conn:row "select *, n::text as digits, w::text as words, aj::text[] as texts from form where id = 2"
      assert.same({ text, text, 1e14, true, "1234567890123456789.123456789012345678", '{"b":1,"a":[1.0]}' },
        { row.t, row.j, row.f, row.b, row.digits, row.words })
      assert.same({ "x,y", text, db.null, "t", "1.5", "{}", "" }, row.a)
      assert.same({ { 1, 2 }, { 3, 4 } }, row.m)
      assert.same({ '{"k": "\\"\\\\"}', db.null, "[1]" }, row.texts)
      row = conn:row "select * from form where id = 3"
      assert.same({ "100", db.null, db.null }, { row.t, row.a, row.b })
    end)

    it("takes empty files", function()
      local none = { item = { copied = 0 }, kept = { unchanged = 0 } }
      assert.same(none, seed([[seed.require(seed.copy("item", nil, seed.jsonl "e.jsonl") == 0)
        seed.require(seed.copy("item", nil, seed.csv "e.csv") == 0)
        seed.require(seed.upsert("kept", { rows = seed.jsonl "e.jsonl" }).created == 0)]],
        { ["a/e.jsonl"] = "", ["a/e.csv"] = "id,name\n" }))
      assert.equal(0, count "item")
    end)

    it("goes on where a script stopped reading", function()
      seed([[local file = seed.jsonl "f.jsonl"
        seed.require(file().id == 1)
        seed.copy("item", nil, file)]], { ["a/f.jsonl"] = '{"id":1}\n{"id":2}\n{"id":3}\n' })
      assert.equal(2, count "item")
    end)
  end)

  describe("seed.upsert", function()
    it("counts a hundred thousand rows from JSON lines, CSV and an iterator alike", function()
      local json, csv = {}, { "id,name\n" }
      for i = 1, 100000 do
        json[i], csv[i + 1] = ('{"id":%d,"name":"n%d"}\n'):format(i, i), ("%d,n%d\n"):format(i, i)
      end
      local files = { ["a/k.jsonl"] = table.concat(json), ["a/k.csv"] = table.concat(csv) }
      local upsert = 'seed.upsert("kept", { key = { "id" }, rows = %s })'
      assert.equal(100000, seed(upsert:format 'seed.jsonl "k.jsonl"', files).kept.created)
      conn:exec "update kept set name = 'x' where id % 1000 = 0"
      conn:exec "delete from kept where id % 5000 = 1"
      assert.same({ created = 20, updated = 100, unchanged = 99880 },
        seed(upsert:format 'seed.csv "k.csv"', files).kept)
      conn:exec "update kept set name = 'x' where id <= 3"
      assert.same({ created = 0, updated = 3, unchanged = 99997 }, seed("local n = 0\n" .. upsert:format [[function()
        n = n + 1
        if n <= 100000 then return { id = n, name = "n" .. n } end
      end]], {}).kept)
    end)

    it("finds the row that a constraint refuses among many, checked at once or at the end", function()
      local text = {}
      for i = 1, 20000 do text[i] = ("%d,%s,%d\n"):format(i, i == 15003 and "bad" or '"a\nb"', i == 9001 and 7 or 1) end
      local files = { ["a/k.csv"] = "id,name,owner\n" .. table.concat(text) }
      local err = failure(seed, 'seed.upsert("kept", { rows = seed.csv "k.csv" })', files)
      assert.same({ "k.csv", 2 * 15002 + 2, 15003 }, { err.file:match("[^/]+$"), err.line, err.row })
      conn:script "create table one (id int primary key); insert into one values (1); alter table kept \
        add foreign key (owner) references one, drop constraint kept_name_check"
      err = failure(seed, 'seed.upsert("kept", { rows = seed.csv "k.csv" })', files)
      assert.same({ "k.csv", 2 * 9000 + 2, 9001 }, { err.file:match("[^/]+$"), err.line, err.row })
      assert.equal(0, count "kept")
    end)
  end)

  it("loads 300,000 rows from each kind of source in less than 32 MiB", function()
    if fs.read("/proc/self/maps"):find("libasan", 1, true) then
      pending "the sanitizer's own memory is not ours to bound"
      return
    end
    local dir = tmp.dir {}
    local csv, json = assert(io.open(dir .. "/a.csv", "w")), assert(io.open(dir .. "/a.jsonl", "w"))
    csv:write "id,name,price\n"
    for i = 100, 300099 do
      csv:write(i, ",", ("name "):rep(10), ",", i % 100, "\n")
      json:write('{"id":', i, ',"name":"', ("name "):rep(10), '","price":', i % 100, "}\n")
    end
    csv:close()
    json:close()
    tmp.write(dir .. "/seeds/t.lua", [[return { order = 1, environments = "all", idempotent = false,
    run = function(seed)
      local n = 0
      seed.copy("item", nil, seed.csv "a.csv")
      seed.copy("item", nil, seed.jsonl "a.jsonl")
      seed.copy("item", { "id", "name", "price" }, function()
        n = n + 1
        if n <= 300000 then return { n + 100, "name " .. n, n / 4 } end
      end)
    end }]])
    os.rename(dir .. "/a.csv", dir .. "/seeds/a.csv")
    os.rename(dir .. "/a.jsonl", dir .. "/seeds/a.jsonl")
    project.write({ { "0000_nothing", "select 1" } }, dir .. "/migrations")
    assert.equal(0, cli.run({ "migrate", cwd = dir, env = { DATABASE_URL = url } }).code)
    tmp.write(dir .. "/go.lua", ([[
      local conn = db.connect(env.DATABASE_URL)
      conn:copy_file("item", %q)
      seed.run()
      for line in fs.read("/proc/self/status"):gmatch("[^\n]+") do
        if line:find "^VmHWM" then log.print(line) end
      end]]):format(dir .. "/seeds/a.csv"))
    local ran = cli.run { "go.lua", cwd = dir, env = { DATABASE_URL = url }, seconds = 300 }
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(1200000, count "item")
    local peak = tonumber(ran.stdout:match("VmHWM:%s+(%d+) kB"))
    assert.is_true(peak < 32 * 1024, ran.stdout)
  end)

  it("leaves nothing when the run is interrupted half way", function()
    local dir = tmp.dir { ["go.lua"] = [[
      local conn, n = db.connect(env.DATABASE_URL), 0
      conn:copy_rows("item", { "id", "name" }, function() n = n + 1 return { n + 100, "name" } end)]] }
    local child = cli.start { "go.lua", cwd = dir, env = { DATABASE_URL = url }, log = dir .. "/log" }
    require("spec.support.wait").till(function()
      return conn:value "select count(*) from pg_stat_progress_copy where tuples_processed > 1000" == 1
    end)
    child:kill("INT")
    assert.equal(130, child:wait().code)
    assert.equal(0, count "item")
  end)
end)
