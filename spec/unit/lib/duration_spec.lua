local duration = require "migrator.lib.duration"

describe("duration.parse", function()
  local good = { ["5s"] = 5, ["250ms"] = 0.25, ["2m"] = 120, ["1h30m"] = 5400, ["1.5s"] = 1.5, ["7"] = 7,
    ["1h 5s"] = 3605, ["0s"] = 0, ["1d"] = 86400 }
  for text, seconds in pairs(good) do
    it("reads " .. text, function() assert.equal(seconds, duration.parse(text)) end)
  end

  it("takes a number as seconds", function() assert.equal(2.5, duration.parse(2.5)) end)

  for _, text in ipairs { "", " ", "s", "5x", "-5s", "5s5s", "30m1h", "1e3", "5 parsecs", "0x10", "1..5s" } do
    it(("refuses %q as config"):format(text), function()
      local ok, err = pcall(duration.parse, text)
      assert.is_false(ok)
      assert.equal("config", err.code)
    end)
  end

  it("refuses negative, endless and undefined numbers, and other types", function()
    for _, value in ipairs { -1, math.huge, 0 / 0, true, {} } do
      assert.equal("config", select(2, pcall(duration.parse, value)).code)
    end
  end)
end)

describe("duration.format", function()
  it("chooses the unit that people read", function()
    assert.equal("4 ms", duration.format(0.004))
    assert.equal("1.00 s", duration.format(0.9996))
    assert.equal("1.23 s", duration.format(1.234))
    assert.equal("1 m 00 s", duration.format(59.999))
    assert.equal("2 m 05 s", duration.format(125))
    assert.equal("1 h 01 m", duration.format(3660))
  end)
end)
