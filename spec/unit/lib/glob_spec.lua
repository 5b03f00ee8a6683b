local cjson = require "cjson"
local glob = require "migrator.lib.glob"

local function vectors()
  local file = assert(io.open("spec/fixtures/picomatch_vectors.json", "rb"))
  local data = cjson.decode(file:read("a"))
  file:close()
  return data
end

describe("glob.compile", function()
  local data = vectors()
  for _, vector in ipairs(data.vectors) do
    it("answers as picomatch 2.3.1 for " .. vector.pattern, function()
      local matches, found = glob.compile(vector.pattern), {}
      for _, path in ipairs(data.paths) do
        if matches(path) then found[#found + 1] = path end
      end
      assert.same(vector.match, found)
    end)
  end

  it("has all the vectors", function()
    assert.equal(53, #data.vectors)
    assert.equal(44, #data.paths)
  end)

  it("takes a folder itself for dir/**, but not a file of the level above for */**", function()
    assert.is_true(glob.match("packages/**", "packages"))
    assert.is_false(glob.match("packages/*/**", "packages/readme.md"))
    assert.is_true(glob.match("packages/*/**", "packages/a/readme.md"))
  end)

  it("lets **.sql cross slashes when it is the whole pattern", function()
    assert.is_true(glob.match("**.sql", "a/b.sql"))
    assert.is_false(glob.match("x/**.sql", "x/a/b.sql"))
  end)

  it("matches names with a line break, and whole characters of UTF-8", function()
    assert.is_true(glob.match("dir/*.sql", "dir/a\nb.sql"))
    assert.is_true(glob.match("?.sql", "é.sql"))
    assert.is_true(glob.match("[é-ü].sql", "ö.sql"))
    assert.is_false(glob.match("??.sql", "é.sql"))
  end)

  it("takes names that are not UTF-8", function()
    assert.is_true(glob.match("dir/**", "dir/\255\254.sql"))
  end)

  it("treats a bracket without a partner as text", function()
    assert.is_true(glob.match("a(b", "a(b"))
    assert.is_true(glob.match("a{b*", "a{bc"))
    assert.is_true(glob.match("[ab", "[ab"))
    assert.is_false(glob.match("[ab", "a"))
  end)

  it("stays fast on patterns made to be slow", function()
    local began = os.clock()
    assert.is_false(glob.match(("*a"):rep(30) .. "b", ("a"):rep(200)))
    assert.is_false(glob.match("+(+(+(a)))b", ("a"):rep(200)))
    assert.is_false(glob.match(("**/"):rep(20) .. "x", ("a/"):rep(100) .. "y"))
    assert.is_false(glob.match(("("):rep(2000), "a"))
    assert.is_false(glob.match("!(!(a*)*)*b!(*c*)", ("a"):rep(100) .. "c"))
    assert.is_true(os.clock() - began < 5)
  end)

  it("refuses an empty pattern as config", function()
    local ok, err = pcall(glob.compile, "")
    assert.is_false(ok)
    assert.equal("config", err.code)
  end)
end)
