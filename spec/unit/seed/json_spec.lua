local json = require "migrator.seed.json"

describe("seed.json", function()
  local function round(text)
    local value, problem = json.decode(text)
    assert.is_nil(problem)
    return json.encode(value)
  end

  it("keeps empty lists, whole 64-bit numbers and short decimals as they were (R91, R99)", function()
    for _, text in ipairs { "[]", "{}", '{"a":[],"b":{}}', "9223372036854775807", "0.1", "0.000125", "null",
      "[null,true,false]",
      '"tab\\tquote\\"back\\\\slash"' } do
      assert.equal(text, round(text))
    end
  end)

  it("reads escapes and surrogate pairs", function()
    assert.equal("é😀", (json.decode('"\\u00e9\\ud83d\\ude00"')))
  end)

  it("says where a text is wrong", function()
    for text, at in pairs { ['{"a":1,}'] = 8, ["[1 2]"] = 4, ["[1,"] = 4, ["01"] = 1, ['"a\nb"'] = 3, ["{} x"] = 4,
      ['{"a":1,"a":2}'] = 8, ["tru"] = 1, ['"\\ud800"'] = 1, [""] = 1 } do
      local value, problem = json.decode(text)
      assert.is_nil(value)
      assert.equal(at, problem.at, text)
    end
  end)

  it("refuses what JSON cannot hold", function()
    assert.has_error(function() json.encode(0 / 0) end)
    assert.has_error(function() json.encode(print) end)
  end)
end)
