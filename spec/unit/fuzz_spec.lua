local clock = require "migrator.core.clock"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local process = require "migrator.core.process"

-- The fuzzers themselves, for a moment and from a fixed seed: what they found once is in their corpus.
describe("the fuzzers", function()
  for _, name in ipairs { "fuzz_journal", "fuzz_url" } do
    it("find nothing: " .. name, function()
      local path = "spec/fuzz/" .. name .. ".lua"
      local ran = process.run { cmd = { host.program(), "dev", path, "0.5", "7" }, deadline = clock.deadline(60) }
      assert.equal(0, ran.code, (ran.stdout or "") .. (ran.stderr or ""))
      assert.matches("nothing found", ran.stdout)
    end)
  end

  it("have a corpus", function()
    for _, folder in ipairs { "journal", "split", "url" } do
      assert.is_true(#fs.list("spec/fuzz/corpus/" .. folder) > 0)
    end
  end)
end)

local errors = require "migrator.error"
local journal = require "migrator.journal"
local url = require "migrator.lib.url"

describe("journal.load", function()
  local folder
  before_each(function()
    folder = fs.temp "migrator-spec"
    fs.mkdir(folder .. "/meta")
    fs.write(folder .. "/0000_first.sql", "select 1;")
  end)
  after_each(function() fs.remove(folder) end)

  for _, case in ipairs { { "infinite.json", "`when` must be a whole number" }, { "nan.json", "not valid JSON" } } do
    it("refuses numbers that JSON has not: " .. case[1], function()
      fs.write(folder .. "/meta/_journal.json", fs.read("spec/fuzz/corpus/journal/" .. case[1]))
      local ok, err = pcall(journal.load, folder)
      assert.is_false(ok)
      assert.is_true(errors.is(err, "journal"))
      assert.matches(case[2], err.message, 1, true)
    end)
  end
end)

describe("url.parse", function()
  it("takes a backslash at the very end", function()
    assert.same({ service = "prod", user = "app" }, (url.conninfo "service=prod user=app\\"))
  end)

  it("never names as a parameter what may be the tail of a password", function()
    local ok, err = pcall(url.conninfo, "host=localhost password=tail s3cr3t=x")
    assert.is_false(ok)
    assert.is_nil(err.message:find("s3cr3t", 1, true))
  end)
end)

describe("url.format", function()
  it("encodes the colons of a host that is no IPv6 address", function()
    local parsed = url.parse "postgresql://]%2Fcloudsql%2Fp%3Ar%3Ai/db"
    assert.same(parsed.hosts, url.parse(url.format(parsed)).hosts)
  end)
end)
