-- alone: it counts the servers of this machine
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local fs = require "migrator.core.fs"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local function lines_of(command)
  local out = {}
  for line in process.run({ cmd = { "sh", "-c", command } }).stdout:gmatch("[^\n]+") do out[#out + 1] = line end
  return out
end

-- Segments of System V shared memory that nobody is attached to: what a killed server leaves.
local function orphaned_segments() return #lines_of "awk 'NR > 1 && $7 == 0' /proc/sysvipc/shm" end

local function folders()
  local found = {}
  for _, name in ipairs(fs.list("/tmp")) do
    if name:find("^migrator%-pg%-") then found["/tmp/" .. name] = true end
  end
  return found
end

local function start(...)
  local log = tmp.dir() .. "/out"
  local child = cli.start { "ephemeral", "--quiet", "--json", log = log, ... }
  local text = wait.till(function() return fs.read(log):match("^.*\n") end, 20)
  return child, math.tointeger(tonumber(text:match('"pid":(%d+)'))), text:match('"dir":"([^"]*)"'):gsub("\\/", "/")
end

describe("a throw-away server", function()
  local segments

  before_each(function() segments = orphaned_segments() end)

  local function assert_gone(pid, dir)
    wait.till(function() return not process.is_running(pid) and not fs.find(dir) end, 15)
    assert.equal(0, #lines_of("pgrep -f -- '-D " .. dir .. "/dat[a]'"))
    wait.till(function() return orphaned_segments() <= segments end)
  end

  for _, signal in ipairs { "INT", "TERM", "HUP", "KILL", "QUIT", "SEGV" } do
    it("is gone without a trace when SIG" .. signal .. " ends us", function()
      local child <close>, pid, dir = start()
      child:kill(signal)
      child:wait(clock.deadline(15))
      assert_gone(pid, dir)
    end)
  end

  it("is gone when it was killed itself, and we say so", function()
    local child <close>, pid, dir = start()
    process.run { cmd = { "kill", "-9", tostring(pid) } }
    assert.equal(4, child:wait(clock.deadline(15)).code)
    assert_gone(pid, dir)
  end)

  it("is gone when a session of it is busy, and when it is stopped", function()
    local child <close>, pid, dir = start()
    local psql = { "psql", "-XAt", "-h", dir, "-U", "postgres", "-c" }
    local function sql(text) return table.move({ text }, 1, 1, #psql + 1, table.move(psql, 1, #psql, 1, {})) end
    local busy <close> = process.start { cmd = sql "select pg_sleep(300)" }
    local running = sql "select count(*) from pg_stat_activity where query ~ '^select pg_sl'"
    wait.till(function() return process.run({ cmd = running }).stdout == "1\n" end)
    process.run { cmd = { "kill", "-STOP", tostring(pid) } }
    child:kill("KILL")
    assert_gone(pid, dir)
    busy:wait(clock.deadline(10))
  end)

  it("leaves nothing whenever SIGKILL comes while it starts", function()
    local before = folders()
    for step = 0, 15 do
      local child <close> = cli.start { "ephemeral", log = tmp.dir() .. "/out" }
      child:try_wait(clock.deadline(step * 0.02))
      child:kill("KILL")
      child:wait(clock.deadline(5))
    end
    wait.till(function()
      for path in pairs(folders()) do
        if not before[path] then return false end
      end
      return true
    end, 15)
    assert.is_true(orphaned_segments() <= segments)
  end)

  it("takes the program that runs on it with it", function()
    local log = tmp.dir() .. "/out"
    local child <close> = cli.start { "ephemeral", "--", "sh", "-c", "echo $$ $PGHOST; exec sleep 300", log = log }
    local pid, dir = wait.till(function() return fs.read(log):match("^%d+ %S+\n") end, 20):match("(%d+) (%S+)")
    child:kill("KILL")
    assert_gone(math.tointeger(tonumber(pid)), dir)
  end)
end)
