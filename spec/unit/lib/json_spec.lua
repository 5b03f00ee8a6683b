local cjson = require "cjson"
local json = require "migrator.lib.json"

describe("json.decode", function()
  it("makes integers of whole numbers, wherever they are", function()
    local found = json.decode '{"a": 1, "b": [2.0, 1.5, {"c": -3}], "d": "4", "e": null, "f": 9007199254740992}'
    assert.equal("integer", math.type(found.a))
    assert.equal("integer", math.type(found.b[1]))
    assert.equal("float", math.type(found.b[2]))
    assert.equal("integer", math.type(found.b[3].c))
    assert.same({ "4", cjson.null }, { found.d, found.e })
    assert.equal(9007199254740992, found.f)
    assert.equal("integer", math.type(json.decode "7"))
  end)

  it("leaves what may have lost digits as it came", function()
    assert.equal("float", math.type(json.decode "1e300"))
    assert.equal("float", math.type(json.decode "9223372036854775808"))
  end)
end)
