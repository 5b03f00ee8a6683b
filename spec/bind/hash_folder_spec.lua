local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local tmp = require "spec.support.tmp"

local function texts(dir, tags)
  local folder <close> = hash.folder(dir)
  return folder:texts(tags)
end

describe("hash.folder", function()
  it("gives the SHA-256 and size of each tag's file and the number of .sql files", function()
    local dir = tmp.dir()
    fs.write(dir .. "/a.sql", "select 1")
    fs.write(dir .. "/b.sql", "")
    fs.write(dir .. "/other.sql", "x")
    fs.write(dir .. "/notes.txt", "x")
    local hashes, sizes, files = texts(dir, { "a", "b" })
    assert.same({ hash.sha256("select 1"), hash.sha256("") }, hashes)
    assert.same({ 8, 0 }, sizes)
    assert.equal(3, files)
  end)

  it("leaves what must be looked at by itself: missing, a folder, a NUL, not UTF-8, a name that is a path", function()
    local dir = tmp.dir()
    fs.write(dir .. "/nul.sql", "select\0 1")
    fs.write(dir .. "/latin.sql", "select '\xE4'")
    fs.write(dir .. "/ok.sql", "select 'ä'")
    fs.mkdir(dir .. "/folder.sql")
    local hashes = texts(dir, { "gone", "folder", "nul", "latin", "../" .. dir:match("[^/]*$") .. "/ok", "ok\0",
      ("x"):rep(5000), "", "ok" })
    assert.same({ false, false, false, false, false, false, false, false, hash.sha256("select 'ä'") }, hashes)
  end)

  it("reads a file larger than its buffer, after and before small ones", function()
    local dir, large = tmp.dir(), ("select 1; -- ü\n"):rep(40000)
    fs.write(dir .. "/large.sql", large)
    fs.write(dir .. "/small.sql", "select 2")
    assert.same({ hash.sha256("select 2"), hash.sha256(large), hash.sha256("select 2") },
      (texts(dir, { "small", "large", "small" })))
  end)

  it("gives the same by two threads as by one", function()
    local dir, tags, wanted = tmp.dir(), {}, {}
    for i = 1, 1200 do
      tags[i] = ("%04d_x"):format(i)
      if i % 100 == 0 then
        wanted[i] = false
      else
        fs.append(dir .. "/" .. tags[i] .. ".sql", "select " .. i)
        wanted[i] = hash.sha256("select " .. i)
      end
    end
    local hashes, _, files = texts(dir, tags)
    assert.same(wanted, hashes)
    assert.equal(1188, files)
  end)

  it("answers -1 and no hash for a folder that is not there", function()
    local hashes, _, files = texts(tmp.dir {} .. "/missing", { "a" })
    assert.same({ false }, hashes)
    assert.equal(-1, files)
  end)

  it("leaves what is longer than 1 MiB", function()
    local dir = tmp.dir()
    fs.write(dir .. "/dump.sql", ("x"):rep((1 << 20) + 1))
    fs.write(dir .. "/most.sql", ("x"):rep(1 << 20))
    assert.same({ false, hash.sha256(("x"):rep(1 << 20)) }, (texts(dir, { "dump", "most" })))
  end)

  it("is closed while it reads, and then answers nothing more", function()
    local dir = tmp.dir()
    for i = 1, 1200 do fs.append(("%s/%04d_x.sql"):format(dir, i), "select " .. i) end
    local folder = hash.folder(dir)
    folder:close()
    folder:close()
    assert.has_error(function() folder:texts {} end, "calling 'texts' on bad self (the folder is closed)")
  end)

  it("refuses a list of something else", function()
    assert.has_error(function() texts("/", { 1 }) end)
    assert.has_error(function() texts("/", "a") end)
  end)
end)
