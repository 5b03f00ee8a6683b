local errors = require "migrator.error"
local headers = require "migrator.plan.headers"
local statements = require "migrator.journal.statements"

local function read(text)
  local entry = { tag = "a", path = "m/a.sql", text = function() return text end }
  return headers.read(entry, statements.read(entry))
end

local function refusal(text)
  local ok, err = pcall(read, text)
  assert.is_false(ok)
  assert.is_true(errors.is(err, "parse"))
  return err
end

describe("plan.headers.read", function()
  it("finds none in a file without any", function()
    assert.same({ words = {} }, read "select 1; -- migrator: later")
    assert.same({ words = {} }, read "-- a migrator of mine\nselect 1")
    assert.same({ words = {} }, read "")
  end)

  it("reads several, by comma or blank, in several lines", function()
    local found = read("-- migrator: no-transaction, lock_timeout=3s\n-- why\n\n"
      .. "--migrator:statement_timeout=10m isolate\nselect 1")
    assert.same({ true, 3, 600, true }, { found.no_transaction, found.lock_timeout, found.statement_timeout,
      found.isolate })
    assert.same({ "no-transaction", "lock_timeout=3s", "statement_timeout=10m", "isolate" }, found.words)
  end)

  it("takes blanks around =, a byte order mark, CRLF and Drizzle's markers", function()
    assert.equal(0.25, read("\u{FEFF}--  migrator:  lock_timeout = 250ms\r\nselect 1").lock_timeout)
    assert.is_true(read("--> statement-breakpoint\n-- migrator: isolate\r\nselect 1").isolate)
    assert.is_true(read("/* why */\n  -- migrator: isolate\n").isolate)
  end)

  it("reads no block comment and nothing below the first statement", function()
    assert.same({ words = {} }, read "/*\n-- migrator: isolate\n*/ select 1;\n-- migrator: nonsense")
  end)

  it("refuses an unknown word, with its place and the nearest", function()
    local err = refusal "-- why\n-- migrator: isolate lock_timout=3s\nselect 1"
    assert.same({ "m/a.sql", 2, 22, "a" }, { err.file, err.line, err.column, err.migration })
    assert.equal('there is no header "lock_timout"', err.message)
    assert.equal('did you mean "lock_timeout"?', err.hint)
    assert.matches("there are allow=, isolate, lock_timeout=, needs=, no%-transaction, phase=, statement_timeout=",
      refusal("-- migrator: x").hint)
  end)

  it("refuses a bad value, a missing one and one too many", function()
    for text, message in pairs {
      ["lock_timeout=soon"] = '"soon" is not a value for it', ["lock_timeout"] = "needs a value",
      ["lock_timeout="] = "needs a value", ["isolate=yes"] = "takes no value",
        ["statement_timeout=-1s"] = "is not a value",
      ["lock_timeout=1s lock_timeout=2s"] = "given twice", ["statement_timeout=1000d"] = "is not a value",
    } do
      local err = refusal("-- migrator: " .. text)
      assert.truthy(err.message:find(message, 1, true), text .. ": " .. err.message)
      assert.same({ 1, 2 }, { err.line, errors.exit_code(err) })
    end
  end)

  it("R56 takes rules that are allowed, by + and in several lines", function()
    local found = read "-- migrator: allow=rewrite+scan-under-lock\n-- migrator: allow = unique-builds-index\nselect 1"
    assert.same({ rewrite = true, ["scan-under-lock"] = true, ["unique-builds-index"] = true }, found.allow)
    local err = refusal "-- migrator: allow=rewrite+scan-under-lok"
    assert.equal('did you mean "scan-under-lock"?', err.hint)
    assert.same({ 1, 14, 2 }, { err.line, err.column, errors.exit_code(err) })
    assert.matches("the rules are add%-column%-not%-null, create%-index", refusal("-- migrator: allow=x").hint)
    assert.matches("the rules are ", refusal("-- migrator: allow=rewrite+").hint)
  end)

  it("takes the same word twice", function()
    assert.same({ "isolate" }, read("-- migrator: isolate\n-- migrator: isolate").words)
  end)
end)

describe("plan.headers.settings", function()
  it("gives the server milliseconds, 0 for no limit", function()
    assert.same({ { name = "lock_timeout", value = "0ms" }, { name = "statement_timeout", value = "90000ms" } },
      headers.settings(read "-- migrator: statement_timeout=1m30s lock_timeout=0"))
    assert.same({ { name = "lock_timeout", value = "1ms" } }, headers.settings { lock_timeout = 0.0001, words = {} })
    assert.same({}, headers.settings(read "-- migrator: isolate"))
  end)
end)

describe("plan.headers.find_late", function()
  local function late(text)
    return headers.find_late(statements.read { path = "a", text = function() return text end })
  end

  it("finds a header where none is read, and not one inside of a text", function()
    assert.equal(3, late "select 1;\n\n  -- migrator: isolate\nselect 2")
    assert.is_nil(late "-- migrator: isolate\nselect 2")
    assert.is_nil(late "select '\n-- migrator: isolate\n'")
    assert.is_nil(late "select 'migrator:'")
  end)
end)
