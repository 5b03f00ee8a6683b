local clock = require "migrator.core.clock"
local process = require "migrator.core.process"

-- Ignores SIGTERM, and has a grandchild in its group that does so too.
local STUBBORN = [[trap '' TERM; (sleep 300 & echo "pid $!"); echo "pid $$"; while :; do sleep 1; done]]

local function till(fn, seconds)
  local deadline = clock.deadline(seconds or 5)
  repeat
    local value = fn()
    if value then return value end
    clock.sleep(0.02)
  until clock.now() > deadline
  return nil
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

describe("process when we die", function()
  local dir

  setup(function() dir = process.run { cmd = { "mktemp", "-d" } }.stdout:gsub("\n", "") end)
  teardown(function() process.run { cmd = { "rm", "-rf", dir } } end)

  local host = os.getenv "MIGRATOR" or "build/migrator"

  local function start_host(name, script)
    local text = "local process = process or require 'migrator.core.process'\n"
      .. ("local stubborn, dir = %q, %q\n"):format(STUBBORN, dir) .. script
    local path = write_file(("%s/%s.lua"):format(dir, name), text)
    return process.start { cmd = { process.find(host), path }, log = path .. ".log", grace = 1 }
  end

  local function pids_in(path)
    local found = {}
    local file = io.open(path)
    if not file then return nil end
    for pid in file:read("a"):gmatch("pid (%d+)\n") do found[#found + 1] = math.tointeger(tonumber(pid)) end
    file:close()
    return #found >= 2 and found or nil
  end

  local function assert_gone(pids, seconds)
    for _, pid in ipairs(pids) do
      local gone = till(function() return not process.is_running(pid) end, seconds)
      assert.is_true(gone, "process " .. pid .. " lives on")
    end
  end

  it("SIGKILL to us leaves nothing of a guarded group, and runs `after`", function()
    if not process.find(host) then return pending("needs the program " .. host) end
    local log, mark = dir .. "/guarded.log", dir .. "/after-ran"
    local us <close> = start_host("guarded", [[
      local child = process.start { cmd = { "sh", "-c", stubborn }, log = dir .. "/guarded.log", grace = 0.3,
        after = { "/bin/sh", "-c", "echo done > " .. dir .. "/after-ran" } }
      child:wait()]])
    local pids = assert(till(function() return pids_in(log) end), us:log_tail())
    us:kill("KILL")
    us:wait(clock.deadline(5))
    assert_gone(pids, 3)
    assert.truthy(till(function() return io.open(mark) end))
  end)

  it("runs `after` when we stop the program ourselves", function()
    local mark = dir .. "/after-stop"
    local child = process.start { cmd = { "sleep", "300" }, after = { "/bin/sh", "-c", "echo done > " .. mark } }
    assert.equal("TERM", child:stop().signal)
    assert.truthy(till(function() return io.open(mark) end))
  end)

  it("SIGKILL to us kills an unguarded program", function()
    if not process.find(host) then return pending("needs the program " .. host) end
    local us <close> = start_host("unguarded", [[
      process.run { cmd = { "sh", "-c", "echo pid $$; echo pid $PPID; exec sleep 300" }, stdout = "log",
        log = dir .. "/unguarded.log" }]])
    local pids = assert(till(function() return pids_in(dir .. "/unguarded.log") end), us:log_tail())
    us:kill("KILL")
    us:wait(clock.deadline(5))
    assert_gone(pids, 3)
  end)

  it("SIGINT ends a run and its program", function()
    if not process.find(host) then return pending("needs the program " .. host) end
    local us <close> = start_host("sigint", [[
      process.run { cmd = { "sh", "-c", "echo pid $$; echo pid $PPID; exec sleep 300" }, stdout = "log",
        log = dir .. "/sigint.log" }]])
    local pids = assert(till(function() return pids_in(dir .. "/sigint.log") end), us:log_tail())
    us:kill("INT")
    assert.equal(130, us:wait(clock.deadline(5)).code)
    assert_gone(pids, 1)
  end)

  it("a second SIGINT ends a long grace", function()
    if not process.find(host) then return pending("needs the program " .. host) end
    local us <close> = start_host("twice", [[
      process.run { cmd = { "sh", "-c", stubborn }, stdout = "log", log = dir .. "/twice.log", grace = 60 }]])
    local pids = assert(till(function() return pids_in(dir .. "/twice.log") end), us:log_tail())
    us:kill("INT")
    assert.is_nil(us:try_wait(clock.deadline(0.8)))
    us:kill("INT")
    assert.equal(130, us:wait(clock.deadline(5)).code)
    assert_gone(pids, 2)
  end)
end)
