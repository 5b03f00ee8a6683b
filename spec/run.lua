---The runner of these specs: `migrator spec [FILES]`. Around every test it looks for what the test left behind.
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local process = require "migrator.core.process"
local specs = require "migrator.specs"

-- Busted forgets what a file loaded when it is done with it; these must outlive that.
local pg = require "spec.support.pg"
local tmp = require "spec.support.tmp"
for _, name in ipairs { "db", "error", "ephemeral", "lib.url" } do require("migrator." .. name) end
for _, name in ipairs { "clock", "db", "hash", "http", "sql" } do require("migrator.core." .. name) end
require "spec.support.cli"
require "spec.support.wait"

local function children()
  local found = {}
  local path = ("/proc/self/task/%d/children"):format(process.self())
  local ok, text = pcall(fs.read, path)
  for pid in (ok and text or ""):gmatch("%d+") do found[pid] = true end
  return found
end

local function descriptors()
  local found = {}
  for _, fd in ipairs(fs.list("/proc/self/fd")) do found[fd] = true end
  return found
end

local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

local function take_stock()
  return { boxes = host.live_boxes(), children = children(), descriptors = count(descriptors()), folder = fs.current(),
    held = pg.held() }
end

local function differences(before, now)
  local out = {}
  if now.boxes > before.boxes then out[#out + 1] = ("%d boxes are still alive"):format(now.boxes - before.boxes) end
  for pid in pairs(now.children) do
    if not before.children[pid] then out[#out + 1] = "child process " .. pid .. " is still there" end
  end
  if now.descriptors > before.descriptors then
    out[#out + 1] = ("%d descriptors are still open"):format(now.descriptors - before.descriptors)
  end
  if now.folder ~= before.folder then out[#out + 1] = "the working directory moved to " .. now.folder end
  return out
end

-- The collector runs only where something seems left: twice, because a finalizer may free what another held.
local function look(before)
  local now = take_stock()
  if now.held ~= before.held then return nil end -- the shared server or session was opened in this test, to stay
  if #differences(before, now) == 0 then return nil end
  collectgarbage()
  collectgarbage()
  local left = differences(before, take_stock())
  return #left > 0 and "left behind: " .. table.concat(left, "; ") or nil
end

return function(sink, paths, filter)
  local stop <close> = setmetatable({}, { __close = function() -- luacheck: ignore stop
    tmp.clean()
    pg.stop()
  end })
  return specs.run { paths = paths, filter = filter, sink = sink, watch = { before = take_stock, after = look },
    file_done = function()
      tmp.clean()
      pg.close()
    end }
end
