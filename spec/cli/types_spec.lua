local cjson = require "cjson"
local cli = require "spec.support.cli"
local fs = require "migrator.core.fs"
local tmp = require "spec.support.tmp"

local function settings(dir) return cjson.decode(fs.read(dir .. "/.luarc.json")) end

describe("migrator types", function()
  it("writes a stub for each module that a script sees, and nothing else", function()
    local dir = tmp.dir()
    assert.equal(0, cli.run({ "types", cwd = dir }).code)
    local names = fs.list(dir .. "/.migrator/types")
    assert.truthy(#names > 3)
    for _, name in ipairs(names) do
      assert.truthy(fs.read(dir .. "/.migrator/types/" .. name):find("^%-%-%-@meta"), name)
    end
  end)

  it("makes a .luarc.json that names the folder", function()
    local dir = tmp.dir()
    cli.run { "types", "editor/", cwd = dir }
    assert.same({ ["runtime.version"] = "Lua 5.4", ["workspace.library"] = { "editor" } }, settings(dir))
  end)

  it("changes nothing when it runs again", function()
    local dir = tmp.dir()
    cli.run { "types", cwd = dir }
    local before = fs.read(dir .. "/.luarc.json")
    local ran = cli.run { "types", cwd = dir }
    assert.same({ 0, before }, { ran.code, fs.read(dir .. "/.luarc.json") })
  end)

  it("adds the folder to the libraries of a .luarc.json and keeps the rest of its text", function()
    local text = '{\n  "diagnostics.globals": [],\n  "workspace.library": ["lib"],\n  "hint": {}\n}\n'
    local dir = tmp.dir { [".luarc.json"] = text }
    cli.run { "types", cwd = dir }
    assert.equal((text:gsub('%["lib"%]', '[".migrator/types", "lib"]')), fs.read(dir .. "/.luarc.json"))
  end)

  for name, text in pairs { ["an empty object"] = "{}", ["no libraries"] = '{ "hint.enable": true }',
    ["an empty list"] = '{"workspace.library": [ ]}', ["a nested key"] = '{"workspace": {"library": ["a", "b"]}}' } do
    it("adds the folder to a .luarc.json with " .. name, function()
      local dir = tmp.dir { [".luarc.json"] = text }
      assert.equal(0, cli.run({ "types", cwd = dir }).code)
      local found = settings(dir)
      local list = found["workspace.library"] or found.workspace.library
      assert.equal(".migrator/types", list[1])
      assert.equal(text:find('"b"') and 3 or 1, #list)
    end)
  end

  for name, text in pairs { comments = '// ours\n{ "hint.enable": true }',
    ["a text for a list"] = '{"workspace.library": "x"}',
    ["libraries as an object"] = '{"workspace.library": {"x": true}}' } do
    it("refuses a .luarc.json with " .. name .. ", leaves it and says what to add", function()
      local dir = tmp.dir { [".luarc.json"] = text }
      local ran = cli.run { "types", cwd = dir }
      assert.same({ 2, text }, { ran.code, fs.read(dir .. "/.luarc.json") })
      assert.truthy(ran.stderr:find('".migrator/types"', 1, true))
    end)
  end

  it("overwrites no file that is not a stub", function()
    local dir = tmp.dir { ["src/globals.lua"] = "return 1\n" }
    local ran = cli.run { "types", "src", cwd = dir }
    assert.same({ 2, "return 1\n" }, { ran.code, fs.read(dir .. "/src/globals.lua") })
    assert.same({ "globals.lua" }, fs.list(dir .. "/src"))
  end)
end)
