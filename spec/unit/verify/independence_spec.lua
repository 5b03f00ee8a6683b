local fs = require "migrator.core.fs"

local RUNNER = { "journal", "plan", "apply", "tracking", "server", "engine", "ledger", "core.hash" }

local function path_of(name)
  local base = "lua/" .. name:gsub("%.", "/")
  if fs.find(base .. ".lua") then return base .. ".lua" end
  return fs.find(base .. "/init.lua") and base .. "/init.lua" or nil
end

---Every module that one reaches by its `require`s, with the chain by which it does.
local function reach(name, chain, seen)
  if seen[name] then return seen end
  seen[name] = chain .. " -> " .. name
  local path = path_of(name)
  for required in (path and fs.read(path) or ""):gmatch('require%s*%(?%s*"(migrator[%w_.]*)"') do
    reach(required, seen[name], seen)
  end
  return seen
end

describe("migrator.verify", function()
  it("R101 shares no code with the runner", function()
    local seen = reach("migrator.verify", "", {})
    assert.is_string(seen["migrator.verify.reader"])
    for _, name in ipairs(RUNNER) do
      for module, chain in pairs(seen) do
        local whole = "migrator." .. name
        assert(module ~= whole and module:sub(1, #whole + 1) ~= whole .. ".", chain)
      end
    end
  end)

  it("has a reader whose decoder replaces what Node.js replaces", function()
    local decode = require("migrator.verify.reader").decode
    local bad = "\u{FFFD}"
    for bytes, text in pairs { ["\xE2\x82"] = bad, ["\xF0\x80\x80"] = bad:rep(3), ["\xC0\xAF"] = bad:rep(2),
      ["\xED\xA0\x80"] = bad:rep(3), ["\xF0\x9F\x98A"] = bad .. "A", ["\xF4\x90\x80\x80"] = bad:rep(4),
      ["\xFF\xFE"] = bad:rep(2), ["é\xE9é"] = "é" .. bad .. "é", ["\u{10FFFF}"] = "\u{10FFFF}", [""] = "" } do
      assert.equal(text, decode(bytes))
    end
  end)

  it("decodes random bytes as the runner's decoder does", function()
    local decode, other = require("migrator.verify.reader").decode, require("migrator.core.sql").decode_utf8
    local pieces = { "a", "\x80", "\xBF", "\xC2", "\xE0", "\xE1", "\xED", "\x9F", "\xA0",
      "\xF0", "\x90", "\xF4", "\x8F", "\xFF" }
    local state = 1
    for _ = 1, 3000 do
      local out = {}
      for i = 1, 8 do
        state = (state * 1103515245 + 12345) % 2147483648
        out[i] = pieces[(state >> 16) % #pieces + 1]
      end
      local bytes = table.concat(out)
      assert.equal((other(bytes)), decode(bytes))
    end
  end)
end)
