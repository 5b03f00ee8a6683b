local errors = require "migrator.error"
local segments = require "migrator.plan.segments"
local statements = require "migrator.journal.statements"

-- An entry whose text is here and not in a file.
local function entry(tag, text)
  local self = { tag = tag, path = "m/" .. tag .. ".sql" }
  function self.text() return text end
  function self.statements() return statements.read(self) end
  return self
end

local function build(texts, tx, facts)
  local list = {}
  for i, text in ipairs(texts) do list[i] = entry(string.char(96 + i), text) end
  return segments.build(list, tx or "all", facts)
end

-- "T:ab S:c": the kind of each segment and the tags in it.
local function shape(...)
  local out = {}
  for i, segment in ipairs(build(...)) do
    local tags = {}
    for n, item in ipairs(segment.items) do tags[n] = item.entry.tag end
    out[i] = segment.kind:sub(1, 1):upper() .. ":" .. table.concat(tags)
  end
  return table.concat(out, " ")
end

local function reasons(...)
  local out = {}
  for i, segment in ipairs(build(...)) do out[i] = segment.reason or "" end
  return out
end

local function refusal(...)
  local ok, err = pcall(build, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err, "parse"))
  return err
end

local PLAIN = "create table t ();"
local CONCURRENT = "create index concurrently i on t (a);"

describe("plan.segments", function()
  it("makes nothing of nothing", function() assert.same({}, build {}) end)

  it("R38 puts plain files into one transaction", function()
    assert.equal("T:abc", shape { PLAIN, PLAIN, PLAIN })
    assert.same({ "" }, reasons { PLAIN, PLAIN })
  end)

  it("puts files without a statement there too", function()
    assert.equal("T:abc", shape { "", "-- words\n", PLAIN })
  end)

  it("gives each file a transaction of its own with tx = file", function()
    assert.equal("T:a T:b S:c T:d", shape({ PLAIN, PLAIN, CONCURRENT, PLAIN }, "file"))
  end)

  it("takes every file statement by statement with tx = none", function()
    assert.equal("S:a S:b", shape({ PLAIN, PLAIN }, "none"))
    assert.same({ 'tx = "none"', 'tx = "none"' }, reasons({ PLAIN, PLAIN }, "none"))
  end)

  it("R39 splits at what cannot run in a transaction, and says where and why", function()
    assert.equal("T:a S:b T:cd", shape { PLAIN, "select 1;\n\n" .. CONCURRENT, PLAIN, PLAIN })
    assert.same({ "", "m/b.sql:3 CREATE INDEX CONCURRENTLY cannot run in a transaction",
      "after b, which stands alone" }, reasons { PLAIN, "select 1;\n\n" .. CONCURRENT, PLAIN })
    assert.matches("^m/a.sql:1 VACUUM", reasons({ "vacuum t" })[1])
  end)

  it("keeps two such files apart", function()
    assert.equal("S:a S:b T:c", shape { CONCURRENT, CONCURRENT, PLAIN })
  end)

  it("splits at transaction control of a file's own", function()
    for _, word in ipairs { "BEGIN", "START TRANSACTION", "COMMIT", "END" } do
      assert.equal("T:a S:b T:c", shape { PLAIN, "select 1;\n" .. word .. ";", PLAIN })
    end
    assert.matches("^m/a.sql:2 has transaction control of its own %(COMMIT%)", reasons({ "select 1;\nCOMMIT;" })[1])
  end)

  it("does not split at savepoints", function()
    assert.equal("T:ab", shape { PLAIN, "savepoint s; select 1; rollback to s; release s;" })
  end)

  it("obeys a header that asks for no transaction", function()
    assert.equal("T:a S:b T:c", shape { PLAIN, "-- migrator: no-transaction\nselect 1;", PLAIN })
    assert.same({ "m/a.sql asks for no transaction" }, reasons { "\u{FEFF}--migrator:no-transaction\r\nselect 1" })
    assert.equal("T:ab", shape { PLAIN, "select 1;\n-- migrator: no-transaction" })
  end)

  it("obeys a header that asks for a transaction of its own", function()
    assert.equal("T:a T:b T:cd", shape { PLAIN, "-- migrator: isolate\nselect 1;", PLAIN, PLAIN })
  end)

  it("says at both sides of a file that stands in a transaction of its own why", function()
    assert.same({ "", "m/b.sql asks for a transaction of its own", "after b, which asks for a transaction of its own" },
      reasons { PLAIN, "-- migrator: isolate\nselect 1;", PLAIN })
  end)

  it("keeps what the planner knows of the statements that stand alone", function()
    local list = { "create table p (a int) partition by list (a);", "select 1; reindex table p;" }
    assert.equal("T:a S:b", shape(list))
    assert.same({ "plain", "outside" }, build(list)[2].items[1].kinds)
  end)

  describe("with a lock table", function()
    -- a table costs 4 here: itself, its type, its toast table and that one's index
    local function with_room(budget, limit)
      return { lock_table = { per_transaction = 64, slots = 100, capacity = limit or 1000, budget = 24 + budget } }
    end
    local function tables(first, last)
      local out = {}
      for i = first, last do out[#out + 1] = ("create table t%d ();"):format(i) end
      return table.concat(out)
    end

    it("splits between files where the locks of one transaction would not fit, and says so", function()
      local list = { tables(1, 1), tables(2, 2), tables(3, 3), tables(4, 4), tables(5, 5) }
      assert.equal("T:ab T:cd T:e", shape(list, "all", with_room(8)))
      assert.equal("T:abcde", shape(list, "all", with_room(20)))
      assert.matches("^m/c.sql: the locks of more would not fit into the server's lock table "
        .. "%(max_locks_per_transaction = 64; %d+ would hold them all%)$", reasons(list, "all", with_room(8))[2])
    end)

    it("counts an object once in a transaction, and again in the next", function()
      assert.equal("T:abc", shape({ tables(1, 2), "alter table t1 add a int;", "alter table public.t2 add b int;" },
        "all",
        with_room(8)))
      local segment = build({ tables(1, 2), "alter table t1 add a int;" }, "file", with_room(8))[2]
      assert.equal(24 + 4, segment.locks)
    end)

    it("R38 splits nothing where the server did not tell", function()
      assert.equal("T:ab", shape({ tables(1, 900), tables(901, 1800) }))
    end)

    it("refuses a file that no lock table of that size holds, with every way out", function()
      local ok, err = pcall(build, { tables(1, 1), tables(2, 9) }, "all", with_room(8, 50))
      assert.is_false(ok)
      assert.same({ "config", "m/b.sql", "b" }, { err.code, err.file, err.migration })
      assert.matches("b alone takes about 56 locks, and the server's lock table has room for about 50", err.message)
      for _, way in ipairs { "raise max_locks_per_transaction to %d+", "split the file", "no%-transaction" } do
        assert.matches(way, err.hint)
      end
    end)

    it("lets run a file that is more than our share, and one outside of a transaction however large", function()
      assert.equal("T:a", shape({ tables(1, 9) }, "all", with_room(8, 100)))
      assert.equal("S:a", shape({ "-- migrator: no-transaction\n" .. tables(1, 99) }, "all", with_room(8, 50)))
    end)

    it("still splits at an enum value that a file behind a split uses", function()
      assert.equal("T:a T:b T:c", shape({ tables(1, 2), "alter type mood add value 'ok';" .. tables(3, 3),
        "select 'ok'::mood;" }, "all", with_room(9)))
    end)
  end)

  describe("with enums", function()
    local ADD, USE = "alter type mood add value 'ok';", "insert into t values ('ok');"

    it("splits before the file that uses an added value", function()
      assert.equal("T:ab T:cd", shape { PLAIN, ADD, USE, PLAIN })
      assert.same({ "", "m/b.sql:1 uses 'ok', added to the enum mood in the same run: it must be committed first" },
        reasons { ADD, USE })
    end)

    it("does not split where a segment lies between", function()
      assert.equal("T:a S:b T:cd", shape { ADD, CONCURRENT, USE, PLAIN })
    end)

    it("does not split between files that are committed apart", function()
      assert.equal("T:a T:b", shape({ ADD, USE }, "file"))
      assert.is_nil(reasons({ ADD, USE }, "file")[2]:find("uses", 1, true))
    end)

    it("takes a file that adds and uses statement by statement", function()
      assert.equal("T:a S:b T:c", shape { PLAIN, ADD .. USE, PLAIN })
    end)

    it("splits again at the next", function()
      assert.equal("T:a T:b T:c", shape { ADD, USE .. "alter type mood add value 'fine';", "select 'fine'::mood;" })
    end)

    it("knows that PostgreSQL 17 takes values of a type made in the same transaction", function()
      local list = { "create type mood as enum ('sad');", ADD, USE }
      assert.equal("T:ab T:c", shape(list, "all", { server_version = 160000 }))
      assert.equal("T:abc", shape(list, "all", { server_version = 170000 }))
    end)
  end)

  describe("with procedures", function()
    local MAKE = "create procedure p() language plpgsql as $$ begin commit; end $$;"

    it("splits at the CALL of one that an earlier file made and that commits", function()
      assert.equal("T:a S:b T:c", shape { MAKE, "call p();", PLAIN })
      assert.equal("T:ab", shape { "create procedure p() language sql as 'select 1';", "call p();" })
    end)

    it("splits at the CALL of one that the database knows", function()
      assert.equal("S:a", shape({ "call old();" }, "all", { committing = { old = true } }))
      assert.equal("T:a", shape({ "call other();" }, "all", { committing = { old = true } }))
    end)
  end)

  describe("refuses, with file, line, column and the line's text,", function()
    for word, text in pairs { ROLLBACK = "ROLLBACK;", ABORT = "abort;", PREPARE = "PREPARE TRANSACTION 'x';",
      ["COPY FROM STDIN"] = "copy t from stdin;" } do
      it(word, function()
        local err = refusal { PLAIN, "select 1;\n  " .. text }
        assert.same({ "m/b.sql", 2, 3, "  " .. text, "b" },
          { err.file, err.line, err.column, err.snippet, err.migration })
        assert.equal(word .. " ", err.message:sub(1, #word + 1))
        assert.is_string(err.hint)
      end)
    end

    it("the same in a file that stands alone", function()
      assert.equal(2, refusal({ CONCURRENT .. "\nROLLBACK;" }).line)
      assert.equal(2, refusal({ "BEGIN;\nROLLBACK;" }, "none").line)
    end)

    for name, text in pairs { ["an open quote"] = "select 'x", ["an open comment"] = "/* x",
      ["an open dollar quote"] = "do $$ begin", ["a meta-command"] = "\\d t", ["rows of COPY"] = "\\." } do
      it(name, function()
        local err = refusal { "select 1;\n" .. text }
        assert.same({ "m/a.sql", 2 }, { err.file, err.line })
      end)
    end
  end)

  it("counts the statements of each file, and keeps them while they are few or when asked", function()
    local text = "select 1; select 2;\n--> statement-breakpoint\nselect 3"
    local item = build({ text })[1].items[1]
    assert.same({ 3, 3 }, { item.count, #item.statements })
    item = build({ ("select 1;"):rep(30000) })[1].items[1]
    assert.same({ 30000, nil }, { item.count, item.statements })
    item = build({ "select 1; vacuum;" }, "all", { keep = true })[1].items[1]
    assert.same({ "plain", "outside" }, { item.statements[1].kind, item.statements[2].kind })
  end)
end)
