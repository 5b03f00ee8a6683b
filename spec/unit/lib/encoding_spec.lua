local base64 = require "migrator.lib.base64"
local crc32c = require "migrator.lib.crc32c"
local instant = require "migrator.lib.instant"

describe("crc32c", function()
  it("gives the published check values", function()
    assert.equal(0, crc32c "")
    assert.equal(3808858755, crc32c "123456789")
    assert.equal(163439259, crc32c "a\n")
    assert.equal(3665453342,
      crc32c "postgresql://app:s3cr%40t@203.0.113.9:5432/trovella?schema=public&connection_limit=5")
    assert.equal(0x8A9136AA, crc32c(("\0"):rep(32)))
  end)
end)

describe("base64", function()
  it("reads what it wrote, for every length and byte", function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local all = table.concat(bytes)
    for n = 0, 256 do
      assert.equal(all:sub(1, n), base64.decode(base64.encode(all:sub(1, n))))
      assert.equal(all:sub(1, n), base64.decode(base64.encode_url(all:sub(1, n))))
    end
    assert.equal("Zm9vYmE=", base64.encode "fooba")
    assert.equal("-_8", base64.encode_url "\xfb\xff")
  end)

  it("refuses what is not base64", function()
    assert.is_nil(base64.decode "a")
    assert.is_nil(base64.decode "ab!c")
    assert.equal("foob", base64.decode "Zm9v\nYg==\n")
  end)
end)

describe("instant", function()
  it("reads dates of both kinds as seconds since 1970", function()
    assert.equal(0, instant.rfc3339 "1970-01-01T00:00:00Z")
    assert.equal(951827696, instant.rfc3339 "2000-02-29T12:34:56.789Z")
    assert.equal(951827696, instant.rfc3339 "2000-02-29T14:34:56+02:00")
    assert.equal(784111777, instant.http "Sun, 06 Nov 1994 08:49:37 GMT")
    assert.is_nil(instant.rfc3339 "yesterday")
    assert.is_nil(instant.rfc3339(nil))
    assert.is_nil(instant.http "Sun, 06 Nov")
  end)
end)
