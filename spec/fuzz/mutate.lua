-- Mutations of texts by a generator of its own, so that a seed means the same everywhere.
local fs = require "migrator.core.fs"

local M = {}

local Random = {}
Random.__index = Random

---@param seed integer
function M.random(seed) return setmetatable({ state = seed * 2 + 1 }, Random) end

---A whole number from 1 to n (xorshift64*).
function Random:upto(n)
  local x = self.state
  x = x ~ (x >> 12)
  x = x ~ (x << 25)
  x = x ~ (x >> 27)
  self.state = x
  return ((x * 0x2545F4914F6CDD1D) >> 1) % n + 1
end

function Random:pick(list) return list[self:upto(#list)] end

local BYTES = { "\0", "\n", "\r\n", '"', "'", "\\", "{", "}", "[", "]", ":", ",", "\xFF", "\xC3", "\u{FEFF}", "$$",
  "--", "/*", "*/",
  ";", "%", "@", "/", "?", "&", "=", "#", "-1", "0", "1e309", "9007199254740993", "null", "true",
    "18446744073709551616",
  "--> statement-breakpoint", "begin atomic", "\\copy", "$1$", "E'", "[::1]", "%00", "%zz", "../", "{}" }

local MUTATIONS = {
  function(random, text) -- insert
    local at = random:upto(#text + 1)
    return text:sub(1, at - 1) .. random:pick(BYTES) .. text:sub(at)
  end,
  function(random, text) -- remove
    local at = random:upto(#text + 1)
    return text:sub(1, at - 1) .. text:sub(at + random:upto(8))
  end,
  function(random, text) -- one other byte
    local at = random:upto(#text + 1)
    return text:sub(1, at - 1) .. string.char(random:upto(256) - 1) .. text:sub(at + 1)
  end,
  function(random, text) -- repeat a part
    local from = random:upto(#text + 1)
    local part = text:sub(from, from + random:upto(64))
    return text:sub(1, from - 1) .. part:rep(random:upto(5)) .. text:sub(from)
  end,
  function(random, text) return text:sub(1, random:upto(#text + 1) - 1) end, -- cut off
  function(random, text) -- swap two parts
    local a, b = random:upto(#text + 1), random:upto(#text + 1)
    if a > b then a, b = b, a end
    return text:sub(b) .. text:sub(a, b - 1) .. text:sub(1, a - 1)
  end,
}

---@param text string
---@return string
function M.mutate(random, text)
  for _ = 1, random:upto(4) do text = random:pick(MUTATIONS)(random, text) end
  return text
end

---The texts of a folder's files.
function M.corpus(folder)
  local out = {}
  for _, name in ipairs(fs.list(folder)) do out[#out + 1] = fs.read(folder .. "/" .. name) end
  return out
end

---Runs `once(random)` for so many seconds. What it raises ends the run and is printed with the seed and the round.
---@param name string
---@param once fun(random: table): string? what was tried, for the report
---@return integer exit code
function M.run(name, once)
  local clock = require "migrator.core.clock"
  local seconds, seed = tonumber(arg[1]) or 60, math.tointeger(tonumber(arg[2])) or clock.wall()
  local random, stop, rounds = M.random(seed), clock.deadline(seconds), 0
  while clock.now() < stop do
    rounds = rounds + 1
    local ok, why = xpcall(once, debug.traceback, random)
    if not ok then
      io.stderr:write(("%s: seed %d, round %d:\n%s\n"):format(name, seed, rounds, tostring(why)))
      return 1
    end
  end
  io.stdout:write(("%s: %d rounds, seed %d, nothing found\n"):format(name, rounds, seed))
  return 0
end

return M
