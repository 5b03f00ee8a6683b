local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local http = require "migrator.core.http"
local process = require "migrator.core.process"
local proxy = require "migrator.proxy"

-- A proxy to be: $1 is the port of its health endpoint, $2 what it does before, $3 what it answers each time.
local PROXY = [==[
echo "starting"
eval "$2"
exec socat "TCP-LISTEN:$1,bind=127.0.0.1,reuseaddr,fork" "EXEC:sh $3"
]==]
local ANSWER = [==[
while read -r line && [ "${#line}" -gt 1 ]; do :; done
printf 'HTTP/1.1 %s\r\nConnection: close\r\n\r\nwhy not'
]==]

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("proxy", function()
  local dir

  local function start(fields)
    local port = http.find_port()
    local ready = { url = ("http://127.0.0.1:%d/readiness?x=1"):format(port), every = 0.05, timeout = 10 }
    local answer = assert(io.open(dir .. "/answer.sh", "w"))
    answer:write(ANSWER:format(fields.answer or "200 OK"))
    answer:close()
    for key, value in pairs(fields.ready or {}) do ready[key] = value end
    return proxy.start {
      cmd = { "sh", "-c", PROXY, "proxy", port, fields.first or "", dir .. "/answer.sh" },
      log = dir .. "/proxy.log", ready = ready, ports = { port }, grace = fields.grace or 1, name = "tunnel",
    }, port
  end

  local function need_socat()
    if process.find "socat" then return true end
    pending("needs socat")
  end

  setup(function() dir = process.run { cmd = { "mktemp", "-d" } }.stdout:gsub("\n", "") end)
  teardown(function() process.run { cmd = { "rm", "-rf", dir } } end)

  describe("wait_ready", function()
    it("polls until the URL answers 200 (R68)", function()
      if not need_socat() then return end
      local tunnel <close> = start { first = "sleep 0.3" }
      assert.equal(tunnel, tunnel:wait_ready())
      assert.is_true(tunnel:alive())
      assert.equal("starting", tunnel:log_tail())
    end)

    it("does not take another status for ready, and says it at the deadline", function()
      if not need_socat() then return end
      local tunnel <close> = start { answer = "503 Unavailable" }
      local before = clock.now()
      local err = raised(tunnel.wait_ready, tunnel, clock.deadline(3))
      assert.is_true(errors.is(err, "timeout"))
      assert.matches("tunnel was not ready after [%d.]+ s: it answered 503 why not", err.message)
      assert.equal("starting", err.detail)
      assert.is_true(clock.now() - before < 8)
    end)

    it("asks the probe after the URL and takes its reason (R70)", function()
      if not need_socat() then return end
      local looks = 0
      local tunnel <close> = start { ready = { probe = function(deadline)
        assert.is_number(deadline)
        looks = looks + 1
        return looks == 3 or nil, "login refused"
      end } }
      tunnel:wait_ready()
      assert.equal(3, looks)
      tunnel.ready.probe = function() return nil, "login refused" end
      assert.matches("login refused$", raised(tunnel.wait_ready, tunnel, clock.deadline(0.2)).message)
    end)

    it("lets an error of the probe through", function()
      local function probe() errors.raise("script", "oops") end
      local options = { cmd = { "sleep", "60" }, log = dir .. "/sleep.log", ready = { probe = probe } }
      local tunnel <close> = proxy.start(options)
      assert.equal("oops", raised(tunnel.wait_ready, tunnel).message)
    end)

    it("raises proxy at once when the child exits, with status and log tail (R67)", function()
      if not need_socat() then return end
      local tunnel <close> = start { first = "sleep 0.3; echo bad token; exit 3", ready = { every = 5 } }
      local before = clock.now()
      local err = raised(tunnel.wait_ready, tunnel)
      assert.is_true(errors.is(err, "proxy"))
      assert.equal("tunnel exited with code 3 before it was ready", err.message)
      assert.matches("bad token$", err.detail)
      assert.is_true(clock.now() - before < 2)
    end)

    it("is not fooled by what answers after the child is gone (R67, R72)", function()
      if not need_socat() then return end
      local tunnel <close> = start { ready = { probe = function() return true end } }
      tunnel:wait_ready()
      tunnel.ready.probe = function()
        process.run { cmd = { "kill", "-9", tunnel:pid() } }
        tunnel.child:wait()
        return true
      end
      local err = raised(tunnel.wait_ready, tunnel)
      assert.is_true(errors.is(err, "proxy"))
      assert.matches("was killed by SIGKILL", err.message)
    end)
  end)

  describe("start", function()
    it("refuses a port that a stranger listens on, of ports or of the URL (R72)", function()
      if not need_socat() then return end
      local tunnel <close>, port = start {}
      tunnel:wait_ready()
      for _, options in ipairs {
        { cmd = { "sleep", "60" }, ports = { port } },
        { cmd = { "sleep", "60" }, ready = { url = ("http://localhost:%d/"):format(port) } },
      } do
        options.log = dir .. "/second.log"
        local err = raised(proxy.start, options)
        assert.is_true(errors.is(err, "proxy"))
        local who = (process.find "ss" or process.find "lsof") and "socat %(pid %d+%)" or "another program"
        assert.matches(("^cannot start sleep: port %d is in use by %s$"):format(port, who), err.message)
        assert.truthy(err.hint)
      end
    end)

    it("raises proxy when the program cannot be started", function()
      local err = raised(proxy.start, { cmd = { "no-such-proxy", "--token", "hunter2" }, log = dir .. "/none.log" })
      assert.is_true(errors.is(err, "proxy"))
      assert.equal("no-such-proxy: cannot start 'no-such-proxy': not found in PATH", err.message)
      assert.is_true(errors.is(err.cause, "script"))
    end)

    it("refuses wrong options by name", function()
      assert.matches("'cmd' is missing", raised(proxy.start, {}))
      assert.matches("'comand' is not known", raised(proxy.start, { comand = {} }))
      assert.matches("'url' must be a string", raised(proxy.start, { cmd = { "true" }, ready = { url = 1 } }))
    end)
  end)

  describe("stop", function()
    it("ends the group and its listener, and may be called again (R73)", function()
      if not need_socat() then return end
      local tunnel, port = start {}
      tunnel:wait_ready()
      assert.equal(143, tunnel:stop().code)
      assert.equal(143, tunnel:stop().code)
      assert.is_false(tunnel:alive())
      assert.is_true(http.port_free(port))
      assert.equal("starting\n", tunnel:log_text())
    end)
  end)

  describe("dump", function()
    local function lines_of(handle)
      local lines = {}
      proxy.dump(handle, function(line) lines[#lines + 1] = line end)
      return lines
    end

    it("writes the log line by line (R73)", function()
      local tunnel <close> = proxy.start { cmd = { "printf", "one\\r\\ntwo\\n\\nthree" }, log = dir .. "/dump.log" }
      tunnel.child:wait()
      assert.same({ "one", "two", "three" }, lines_of(tunnel))
      local lines = {}
      tunnel:dump(function(line) lines[#lines + 1] = line end)
      assert.same({ "one", "two", "three" }, lines)
      assert.equal("three", tunnel:log_tail(1))
    end)

    it("says exactly `No proxy log found` when there is none (R73)", function()
      assert.same({ "No proxy log found" }, lines_of(nil))
    end)
  end)
end)
