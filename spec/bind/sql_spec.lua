local cjson = require "cjson"
local sql = require "migrator.core.sql"

describe("sql.parse_json", function()
  it("returns the tree of every statement", function()
    local tree = cjson.decode((sql.parse_json("select 1; drop table t")))
    assert.equal(2, #tree.stmts)
    assert.is_table(tree.stmts[2].stmt.DropStmt)
  end)

  it("answers with message and position, in characters, when the text is refused", function()
    assert.same({ n = 3, nil, 'syntax error at or near "z"', 17 }, table.pack(sql.parse_json("select 'é', x y z q")))
  end)

  it("parses trees deeper than the stack of a thread usually is", function()
    assert.is_true(#sql.parse_json("select 1" .. ("+1"):rep(150000)) > 1000000)
  end)

  it("refuses a text that is too long for it", function()
    assert.same({ n = 2, nil, "text of 16777217 bytes is longer than the 16777216 the parser is given" },
      table.pack(sql.parse_json((" "):rep(2 ^ 24 + 1))))
  end)

  it("raises on a NUL", function()
    assert.has_error(function() sql.parse_json("select '\0'") end,
      "bad argument #1 to 'parse_json' (string contains a NUL byte)")
  end)
end)

describe("sql.fingerprint", function()
  it("is the same whatever the constants and the layout", function()
    assert.matches("^%x+$", sql.fingerprint("select 1"))
    assert.equal(16, #sql.fingerprint("select 1"))
    assert.equal(sql.fingerprint("select 1"), sql.fingerprint("SELECT /* x */ 'a'"))
    assert.not_equal(sql.fingerprint("select a"), sql.fingerprint("select b from t"))
  end)

  it("answers with a message when the text is refused", function()
    assert.same({ n = 3, nil, 'syntax error at or near "selec"', 1 }, table.pack(sql.fingerprint("selec 1")))
  end)
end)

describe("sql.position", function()
  it("counts lines, and characters within one", function()
    local text = "a\né\xffb\n"
    local places = {}
    for offset = 1, #text + 1 do places[offset] = table.concat({ sql.position(text, offset) }, ":") end
    assert.same({ "1:1", "1:2", "2:1", "2:1", "2:2", "2:3", "2:4", "3:1" }, places)
  end)

  it("raises outside the text", function()
    for _, offset in ipairs { 0, -1, 5 } do assert.has_error(function() sql.position("abc", offset) end) end
  end)
end)

describe("sql.char_offset", function()
  it("counts characters from a byte, an invalid one as one each", function()
    local text, found = "xé\xe2\x82b日c", {}
    for n = 1, 8 do found[n] = sql.char_offset(text, 2, n) end
    assert.same({ 2, 4, 5, 6, 7, 10, 11, 11 }, found)
    assert.equal(1, sql.char_offset("", 1, 3))
  end)

  it("finds what the parser refused", function()
    local text = "select 1;\nselect 'é', x y z q"
    local second = sql.split(text)[2]
    local _, _, position = sql.parse_json(text:sub(second.offset))
    local at = sql.char_offset(text, second.offset, position)
    assert.equal("z", text:sub(at, at))
    assert.same({ 2, 17 }, { sql.position(text, at) })
  end)

  it("raises on a position below one", function()
    assert.has_error(function() sql.char_offset("abc", 1, 0) end)
    assert.has_error(function() sql.char_offset("abc", 5, 1) end)
  end)
end)

describe("sql.decode_utf8", function()
  it("returns valid text as it is, byte order mark included", function()
    for _, text in ipairs { "", "abc", "\u{FEFF}é日\u{10FFFF}\u{D7FF}\u{E000}", ("é"):rep(1000), "12345678\0é" } do
      assert.same({ text, false }, { sql.decode_utf8(text) })
    end
  end)

  it("replaces each maximal subpart of an invalid sequence", function()
    local counts = {
      ["\xe2\x82"] = 1, ["\xf0\x80\x80"] = 3, ["\xc0\xaf"] = 2, ["\xed\xa0\x80"] = 3, ["\xf4\x90\x80\x80"] = 4,
      ["\xff\xfe"] = 2, ["\xf0\x9f\x98"] = 1, ["\x80"] = 1, ["\xe0\x9f\xbf"] = 3, ["\xf0\x90"] = 1,
      ["\xe1\x80\xe1\x80"] = 2, ["\xf5\x80"] = 2,
    }
    for bytes, count in pairs(counts) do
      local want = ("\u{FFFD}"):rep(count)
      assert.same({ want, true }, { sql.decode_utf8(bytes) })
      assert.same({ "aé" .. want .. "A日" .. want, true }, { sql.decode_utf8("aé" .. bytes .. "A日" .. bytes) })
    end
  end)
end)

describe("sql.quote_ident and sql.quote_literal", function()
  it("double the quotes, and literals their backslashes", function()
    assert.equal('"a""b"', sql.quote_ident('a"b'))
    assert.equal("''", sql.quote_literal(""))
    assert.equal("'it''s'", sql.quote_literal("it's"))
    assert.equal("E'a\\\\''b'", sql.quote_literal("a\\'b"))
  end)

  it("refuse what no server can take", function()
    assert.has_error(function() sql.quote_ident("") end)
    assert.has_error(function() sql.quote_ident("a\0") end)
    assert.has_error(function() sql.quote_literal("\0") end)
  end)
end)
