local db = require "migrator.db"
local values = require "migrator.seed.values"

describe("seed.values.convert", function()
  local function text(value, column, origin) return values.convert(value, column, origin or "lua") end

  it("writes arrays, vectors, json and bytea as their types take them (R91)", function()
    assert.equal('{"a\\"b","c\\\\d",NULL,"",t}', text({ 'a"b', "c\\d", db.null, "", true }, { is_array = true,
      element = "text" }))
    assert.equal("{{1,2},{3,4}}", text({ { 1, 2 }, { 3, 4 } }, { is_array = true, element = "int4" }))
    assert.equal("[0.1,-2,3e-05]", text({ 0.1, -2, 3e-5 }, { kind = "vector" }))
    assert.equal('{"a":[1,2]}', text({ a = { 1, 2 } }, { kind = "jsonb" }))
    assert.equal("\\x00ff5c", text("\0\255\\", { kind = "bytea" }))
  end)

  it("takes a text for json as JSON from Lua and CSV, as a JSON text from JSON", function()
    assert.equal("[1]", text("[1]", { kind = "jsonb" }))
    assert.equal('"[1]"', text("[1]", { kind = "jsonb" }, "json"))
  end)

  it("gives numbers in the fewest digits that give them back", function()
    assert.equal("0.1", text(0.1, { kind = "float8" }))
    assert.equal("9007199254740993", text(9007199254740993, { kind = "int8" }))
    assert.equal("NaN", text(0 / 0, { kind = "float8" }))
  end)

  it("refuses a table for a plain column", function()
    assert.has_error(function() text({}, { kind = "text", type = "text" }) end)
  end)
end)
