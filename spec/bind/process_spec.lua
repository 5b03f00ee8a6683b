local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local process = require "migrator.core.process"

local STARTS = tonumber(os.getenv "MIGRATOR_TEST_STARTS") or 500
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

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

local function write_file(path, text, mode)
  assert(assert(io.open(path, "w")):write(text)):close()
  if mode then process.run { cmd = { "chmod", mode, path } } end
  return path
end

-- The listing waits for its input, which it gets when its own start is over and has let go of everything.
local function open_fds()
  local list = ("read -r _; ls /proc/%d/fd"):format(process.self())
  return select(2, process.run({ cmd = { "sh", "-c", list }, input = "\n" }).stdout:gsub("%d+", ""))
end

local function children()
  local listing = process.run { cmd = { "ps", "--ppid", process.self(), "-o", "pid=,stat=,comm=" } }.stdout
  return (listing:gsub(" *%d+ +%S+ +ps\n", ""))
end

describe("process", function()
  local dir, others -- others: children that whoever runs the specs has, such as a server

  setup(function() dir = process.run { cmd = { "mktemp", "-d" } }.stdout:gsub("\n", "") end)
  teardown(function() process.run { cmd = { "rm", "-rf", dir } } end)
  before_each(function() others = children(collectgarbage()) end)

  describe("run", function()
    it("captures both streams and answers with the exit code", function()
      local ran = process.run { cmd = { "sh", "-c", "echo out; echo err >&2; exit 3" } }
      assert.same({ code = 3, stdout = "out\n", stderr = "err\n" }, ran)
    end)

    it("gives arguments as they are, without a shell", function()
      local ran = process.run { cmd = { "printf", "%s|", "a b", "$HOME", "*", "", 5432 } }
      assert.equal("a b|$HOME|*||5432|", ran.stdout)
    end)

    it("feeds input and drains output at the same time", function()
      local text = ("0123456789\0abcde"):rep(200000)
      assert.equal(text, process.run({ cmd = { "cat" }, input = text }).stdout)
    end)

    it("survives a program that does not read its input", function()
      assert.equal(0, process.run({ cmd = { "true" }, input = ("x"):rep(1000000) }).code)
    end)

    it("sends stderr where stdout goes when asked", function()
      local ran = process.run { cmd = { "sh", "-c", "echo a; echo b >&2; echo c" }, stderr = "stdout" }
      assert.same({ code = 0, stdout = "a\nb\nc\n" }, ran)
    end)

    it("names the signal that ended it", function()
      assert.same({ code = 137, signal = "KILL", stdout = "", stderr = "" },
        process.run { cmd = { "sh", "-c", "kill -9 $$" } })
    end)

    it("changes the environment: set, number, remove", function()
      local ran = process.run {
        cmd = { "sh", "-c", 'echo "$A|$B|${HOME-gone}|${PATH:+kept}"' }, env = { A = "x y", B = 2, HOME = false },
      }
      assert.equal("x y|2|gone|kept\n", ran.stdout)
    end)

    it("replaces the environment by a list", function()
      assert.equal("A=1\nB=2\n", process.run({ cmd = { "/usr/bin/env" }, env = { "A=1", "B=2" } }).stdout)
    end)

    it("looks the program up in the PATH that it gets", function()
      write_file(dir .. "/only-here", "#!/bin/sh\necho found\n", "755")
      assert.equal("found\n", process.run({ cmd = { "only-here" }, env = { PATH = dir .. ":/bin:/usr/bin" } }).stdout)
      assert.matches("not found in PATH", raised(process.run, { cmd = { "only-here" } }).message)
    end)

    it("starts in cwd", function()
      assert.equal("/\n", process.run({ cmd = { "pwd" }, cwd = "/" }).stdout)
    end)

    it("passes no descriptor but the three", function()
      local stray = assert(io.open("/dev/null"))
      local look = "for fd in $(seq 0 99); do [ ! -e /proc/$$/fd/$fd ] || printf '%s ' $fd; done"
      local ran = process.run { cmd = { "sh", "-c", look } }
      stray:close()
      assert.equal("0 1 2 ", ran.stdout)
    end)

    it("gives the program default signals", function()
      local ran = process.run { cmd = { "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status" } }
      local blocked, ignored = ran.stdout:match("^SigBlk:\t(%x+)\nSigIgn:\t(%x+)\n$")
      assert.equal(0, tonumber(blocked, 16))
      assert.equal(0, tonumber(ignored, 16) & ~0x180000000) -- 32 and 33 belong to the C library, which may ignore them
    end)

    it("raises script when the program cannot be started", function()
      if require("migrator.core.host").environment().MIGRATOR_VALGRIND then
        return pending("valgrind answers a failed exec in its own way")
      end
      local cases = {
        [{ "no-such-program" }] = "cannot start 'no%-such%-program': not found in PATH",
        [{ dir .. "/missing" }] = "No such file or directory$",
        [{ dir }] = "is a directory$",
        [{ write_file(dir .. "/plain", "x", "600") }] = "Permission denied$",
        [{ write_file(dir .. "/no-interpreter", "#!/no/such\n", "755") }] = "No such file or directory$",
        [{ write_file(dir .. "/no-magic", "echo\n", "755") }] = "Exec format error$",
      }
      for cmd, pattern in pairs(cases) do
        local err = raised(process.run, { cmd = cmd })
        assert.is_true(errors.is(err, "script"))
        assert.matches(pattern, err.message)
      end
      assert.matches("in directory '/no/such'", raised(process.run, { cmd = { "true" }, cwd = "/no/such" }).message)
      assert.matches("no such user", raised(process.run, { cmd = { "true" }, user = "no-such-user" }).message)
    end)

    it("raises timeout at the deadline, and has killed what ignores SIGTERM", function()
      local before = clock.now()
      local err = raised(process.run, { cmd = { "sh", "-c", STUBBORN }, deadline = clock.deadline(0.2), grace = 0.2 })
      assert.is_true(errors.is(err, "timeout"))
      assert.is_true(clock.now() - before < 2)
      assert.equal(others, children())
    end)

    it("raises script when there is more output than max_output", function()
      local err = raised(process.run, { cmd = { "yes" }, max_output = 100000 })
      assert.is_true(errors.is(err, "script"))
      assert.matches("larger than 100000 bytes", err.message)
    end)

    it("does not wait for a background child that holds the pipe", function()
      local before = clock.now()
      local ran = process.run { cmd = { "sh", "-c", "sleep 3 & echo done" } }
      assert.equal("done\n", ran.stdout)
      assert.is_true(clock.now() - before < 2)
    end)

    it("refuses wrong options by name", function()
      assert.has_error(function() process.run {} end)
      for options, pattern in pairs {
        [{ cmd = {} }] = "'cmd' is empty", [{ cmd = "true" }] = "'cmd' must be a table", [{ cmd = { {} } }] = "item 1",
        [{ cmd = { "true" }, comand = 1 }] = "'comand' is not known", [{ cmd = { "a\0b" } }] = "NUL byte",
        [{ cmd = { "true" }, stdin = "select 1" }] = "'input'", [{ cmd = { "true" }, stdout = "nowhere" }] = "'stdout'",
        [{ cmd = { "true" }, env = { ["A=B"] = "1" } }] = "bad name",
        [{ cmd = { "true" }, stop_signal = "NO" }] = "no such signal",
        [{ cmd = { "true" }, after = { "/bin/true" } }] = "needs the guard",
      } do
        assert.matches(pattern, raised(process.run, options))
      end
    end)

    it("runs as another user with that user's groups", function()
      if process.user().uid ~= 0 then return pending("needs root") end
      local ran = process.run { cmd = { "sh", "-c", "id -u; id -g; id -G" }, user = "nobody", cwd = "/" }
      local uid = process.run({ cmd = { "id", "-u", "nobody" } }).stdout
      local gids = process.run({ cmd = { "id", "-G", "nobody" } }).stdout
      assert.equal(uid .. process.run({ cmd = { "id", "-g", "nobody" } }).stdout .. gids, ran.stdout)
    end)

    it("refuses another user without root", function()
      if process.user().uid == 0 then return pending("needs an ordinary user") end
      assert.matches("only root", raised(process.run, { cmd = { "true" }, user = "root" }).message)
    end)
  end)

  describe("start", function()
    it("logs both streams to a file of mode 0600 (R66)", function()
      local log = dir .. "/start.log"
      local child <close> = process.start { cmd = { "sh", "-c", "echo out; echo err >&2" }, log = log }
      assert.same({ code = 0 }, child:wait(clock.deadline(5)))
      assert.equal("out\nerr\n", child:log_tail())
      assert.equal("600\n", process.run({ cmd = { "stat", "-c", "%a", log } }).stdout)
    end)

    it("truncates the log that is there", function()
      local child <close> = process.start { cmd = { "true" }, log = write_file(dir .. "/old.log", "old\n") }
      child:wait(clock.deadline(5))
      assert.equal("", process.run({ cmd = { "cat", dir .. "/old.log" } }).stdout)
    end)

    it("shows only its own part of a log that it appends to", function()
      local log = write_file(dir .. "/append.log", "before\n")
      local child <close> = process.start { cmd = { "echo", "now" }, log = log, append = true }
      child:wait(clock.deadline(5))
      assert.equal("now\n", child:log_tail())
      assert.equal("before\nnow\n", process.run({ cmd = { "cat", log } }).stdout)
    end)

    it("cuts the tail of a log at a line", function()
      local child <close> = process.start { cmd = { "seq", "1000" }, log = dir .. "/seq.log" }
      child:wait(clock.deadline(5))
      assert.equal("998\n999\n1000\n", child:log_tail(15))
    end)

    it("notices an exit at once, inside a wait (R67)", function()
      local child <close> = process.start { cmd = { "sh", "-c", "sleep 0.2; exit 7" } }
      assert.is_true(child:alive())
      assert.is_nil(child:status())
      local before = clock.now()
      assert.same({ code = 7 }, child:try_wait(clock.deadline(10)))
      assert.is_true(clock.now() - before < 1)
      assert.is_false(child:alive())
      assert.same({ code = 7 }, child:status())
    end)

    it("raises timeout from wait and answers nil from try_wait while it runs", function()
      local child <close> = process.start { cmd = { "sleep", "60" } }
      assert.is_nil(child:try_wait(clock.deadline(0.05)))
      assert.is_true(errors.is(raised(child.wait, child, clock.deadline(0.05)), "timeout"))
      assert.is_true(child:alive())
    end)

    it("stops the whole group, also what ignores SIGTERM, after the grace", function()
      local child <close> = process.start { cmd = { "sh", "-c", STUBBORN }, log = dir .. "/stubborn.log", grace = 0.3 }
      assert.truthy(till(function() return select(2, child:log_tail():gsub("pid", "")) == 2 end))
      local before = clock.now()
      assert.same({ code = 137, signal = "KILL" }, child:stop())
      local took = clock.now() - before
      assert.is_true(took >= 0.3 and took < 2)
      for pid in child:log_tail():gmatch("pid (%d+)") do
        assert.is_true(till(function() return not process.is_running(math.tointeger(tonumber(pid))) end))
      end
      assert.same({ code = 137, signal = "KILL" }, child:stop())
    end)

    it("gives the grace to the children of a leader that ends at once", function()
      local child <close> = process.start {
        cmd = { "sh", "-c", "(trap 'sleep 0.2; echo tidy; exit' TERM; echo up; while :; do sleep 0.05; done) & wait" },
        log = dir .. "/tidy.log", grace = 3,
      }
      assert.truthy(till(function() return child:log_tail():find("up") end))
      assert.equal("TERM", child:stop().signal)
      assert.matches("tidy\n", child:log_tail())
    end)

    it("stops with another signal and wakes what is stopped", function()
      local child <close> = process.start { cmd = { "sleep", "60" }, stop_signal = "INT" }
      child:kill("STOP")
      assert.same({ code = 130, signal = "INT" }, child:stop())
    end)

    it("stops what is forgotten when it is collected", function()
      local pid = process.start({ cmd = { "sleep", "60" } }):pid()
      collectgarbage()
      collectgarbage()
      assert.is_false(process.is_running(pid))
      assert.equal(others, children())
    end)

    it("reports a failed start and leaves nothing", function()
      collectgarbage()
      local fds = open_fds()
      for _ = 1, 50 do raised(process.start, { cmd = { dir }, log = dir .. "/x.log" }) end
      assert.matches("cannot open log file", raised(process.start, { cmd = { "true" }, log = "/no/such/log" }).message)
      assert.equal(fds, open_fds())
      assert.equal(others, children())
    end)

    it("leaks no descriptor and no process in many fast starts", function()
      collectgarbage()
      local fds = open_fds()
      for i = 1, STARTS do
        local child <close> = process.start { cmd = { "true" }, guard = i % 10 == 0 }
        if i % 3 == 0 then child:wait() end
      end
      assert.equal(fds, open_fds())
      assert.equal(others, children())
    end)
  end)

  describe("find, user, is_running", function()
    it("finds a program by PATH and answers nil for none", function()
      assert.matches("^/.*/sh$", process.find("sh"))
      assert.is_nil(process.find("no-such-program"))
      assert.is_nil(process.find(dir))
    end)

    it("knows who and what runs", function()
      assert.equal(process.run({ cmd = { "id", "-un" } }).stdout, process.user().name .. "\n")
      assert.is_true(process.is_running(process.self()))
      local child <close> = process.start { cmd = { "true" } }
      child:wait()
      assert.is_false(process.is_running(child:pid()))
    end)
  end)
end)
