local compose = require "migrator.journal.compose"
local edit = require "migrator.journal.edit"
local errors = require "migrator.error"

local PRETTY = [[
{
  "version": "7",
  "entries": [
    {
      "idx": 0,
      "when": 5,
      "tag": "a]}\"{["
    },
    {
      "idx": 1,
      "when": 6,
      "tag": "b"
    }
  ]
}
]]

local function add(text)
  local doc = edit.parse(text, "j")
  return edit.append(doc, edit.format(doc, { { "idx", 2 }, { "tag", "c" } })).text
end

describe("journal.edit", function()
  it("R5 appends in the file's own style and leaves every other byte", function()
    local expected = PRETTY:gsub('"b"\n    }\n', '"b"\n    },\n    {\n      "idx": 2,\n      "tag": "c"\n    }\n')
    assert.equal(expected, add(PRETTY))
    assert.equal(expected:gsub("\n", "\r\n"), (add((PRETTY:gsub("\n", "\r\n")))))
    assert.equal('{"entries":[{"idx":0},{"idx":2,"tag":"c"}],"x":1}', add('{"entries":[{"idx":0}],"x":1}'))
    assert.equal('{"entries":[{"idx":2,"tag":"c"}]}', add('{"entries":[]}'))
    assert.equal('{\n  "entries": [\n    {\n      "idx": 2,\n      "tag": "c"\n    }\n  ]\n}',
      add('{\n  "entries": []\n}'))
  end)

  it("removes the first, a middle and the last entry", function()
    local text = '{"entries":[{"idx":0},\n{"idx":1},\n{"idx":2}]}'
    local function without(position) return edit.remove(edit.parse(text, "j"), position).text end
    assert.equal('{"entries":[{"idx":1},\n{"idx":2}]}', without(1))
    assert.equal('{"entries":[{"idx":0},\n{"idx":2}]}', without(2))
    assert.equal('{"entries":[{"idx":0},\n{"idx":1}]}', without(3))
  end)

  it("sets a number in one entry only", function()
    assert.equal((PRETTY:gsub('"when": 6', '"when": 99')), edit.set(edit.parse(PRETTY, "j"), 2, "when", 99).text)
  end)

  it("is not led astray by an entries key that is not the journal's", function()
    local text = '{"x":{"entries":[1]},"s":"\\"entries\\": [","entries":[{"idx":0}]}'
    assert.equal('{"x":{"entries":[1]},"s":"\\"entries\\": [","entries":[{"idx":0},{"idx":2,"tag":"c"}]}', add(text))
  end)

  it("refuses a text without entries", function()
    local ok, err = pcall(edit.parse, "{}", "j")
    assert.same({ false, true }, { ok, errors.is(err, "journal") })
  end)
end)

describe("journal.compose", function()
  local function made(tags, words, names, now)
    local entries = {}
    for i, tag in ipairs(tags) do entries[i] = { idx = i - 1, tag = tag, when = i * 100 } end
    return compose.next(entries, names or tags, words, now or 1000)
  end

  it("R5 R17 gives the next idx and number, in the style of the tags", function()
    assert.same({ idx = 0, tag = "0000_first", when = 1000 }, made({}, "first"))
    assert.same({ idx = 2, tag = "0002_add_orders", when = 1000 }, made({ "0000_a", "0001_b" }, "Add Orders!"))
    assert.equal("19700101000001_x", made({ "20250101000000_a" }, "x").tag)
    assert.equal("1_x", made({ "1700000000_a" }, "x").tag)
    assert.equal("x", made({ "setup" }, "x").tag)
  end)

  it("R18 makes `when` rise, whatever the clock says", function()
    assert.equal(201, made({ "0000_a", "0001_b" }, "x", nil, 5).when)
  end)

  it("passes over numbers that files without an entry have", function()
    assert.equal("0008_x", made({ "0000_a" }, "x", { "0000_a", "0007_left_over", "notes" }).tag)
  end)

  it("refuses a name of nothing", function()
    assert.is_true(errors.is(select(2, pcall(compose.slug, " -!")), "usage"))
    assert.equal("a-b_c", compose.slug("A-b  C?"))
  end)
end)
