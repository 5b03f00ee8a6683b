local copying = require "migrator.lib.copying"
local errors = require "migrator.error"

describe("lib.copying.failure", function()
  local function told(context, place)
    local err = copying.failure(errors.new("sql", { message = "why", context = context }), "item", place)
    return { err.message, err.row, err.file, err.line }
  end

  it("reads the server's line and column, also in other languages and below a trigger's lines", function()
    assert.same({ "item, row 3, column id: why", 3 }, told 'COPY t, line 3, column id: "x"')
    assert.same({ "item, row 3: why", 3 }, told 'COPY t, line 3: "x"')
    assert.same({ "item, row 12, column id: why", 12 }, told "COPY t, Zeile 12, Spalte id: »x«")
    assert.same({ "item, row 3: why", 3 }, told 'PL/pgSQL function f() line 7 at RAISE\nCOPY t, line 3: "x"')
    assert.same({ "why" }, told "PL/pgSQL function f() line 7 at RAISE")
    assert.same({ "why" }, told(nil))
  end)

  it("takes row, file and line from whoever knows the file", function()
    assert.same({ "item, row 2: why", 2, "a.csv", 9 }, told('COPY t, line 3: "x"', function(line)
      return line - 1, "a.csv", 9
    end))
  end)
end)

describe("lib.copying.header", function()
  local function header(text, delimiter) return copying.header(text:gmatch "[^\n]*\n?", delimiter) end

  it("reads names with quotes, delimiters and line ends in them", function()
    assert.same({ "a", "b" }, header "a,b\r\n1,2\n")
    assert.same({ 'a "x"', "b;\nc", "" }, header('\u{FEFF}"a ""x""";"b;\nc";\n', ";"))
    assert.same({ "a.b" }, header("a.b", "%"))
    assert.same({}, header "")
  end)
end)
