local db = require "migrator.db"
local errors = require "migrator.error"
local readers = require "migrator.seed.readers"
local tmp = require "spec.support.tmp"

describe("seed.csv", function()
  local function all(text, opts)
    local out = {}
    for row in readers.csv(tmp.dir { ["a.csv"] = text } .. "/a.csv", opts) do out[#out + 1] = row end
    return out
  end

  it("reads RFC 4180: quotes, doubled quotes, commas and newlines inside, CRLF, no last newline (R99)", function()
    assert.same({ { a = 'x "y", z', b = "1\n2" }, { a = "", b = db.null } },
      all('\u{FEFF}a,b\r\n"x ""y"", z","1\n2"\r\n"",'))
  end)

  it("takes another delimiter, another NULL and no header", function()
    assert.same({ { a = db.null, b = "" } }, all("\\N;\n", { delimiter = ";", null = "\\N", header = false,
      columns = { "a", "b" } }))
  end)

  it("names the line of what is wrong (R89)", function()
    local cases = { ["a,b\n1\n"] = 2, ['a\n"1\n2\n'] = 2, ['a\n1"2\n'] = 2, ['a\nb\n"1"2\n'] = 3, ["a,a\n"] = 1,
      [""] = 1 }
    for text, line in pairs(cases) do
      local ok, err = pcall(all, text)
      assert.is_false(ok, text)
      assert.is_true(errors.is(err, "seed"))
      assert.equal(line, err.line, text)
    end
  end)

  it("refuses an unknown option with the nearest known one, and a file that is not there (R89, R90)", function()
    local ok, err = pcall(all, "a\n", { delimeter = ";" })
    assert.is_false(ok)
    assert.equal('did you mean "delimiter"?', err.hint)
    ok, err = pcall(readers.csv, "/nowhere/a.csv")
    assert.is_false(ok)
    assert.is_true(errors.is(err, "seed"))
  end)
end)

describe("seed.jsonl", function()
  it("reads an object a line and names the line of a bad one", function()
    local path = tmp.dir { ["a.jsonl"] = '{"n":1}\n\n{"n":[]}\n{"n":}\n' } .. "/a.jsonl"
    local reader = readers.jsonl(path)
    assert.equal(1, reader().n)
    local row, line = reader:next()
    assert.same({}, row.n)
    assert.equal(3, line)
    local ok, err = pcall(reader)
    assert.is_false(ok)
    assert.equal(4, err.line)
    assert.equal(6, err.column)
    assert.equal(3, reader:line_of(2))
  end)
end)
