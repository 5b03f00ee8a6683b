---A program that the run needs beside it, watched: its ports are ours, it is ready before we go on, its exit is
---noticed at once, and it ends with us. The types of the options are in lua/meta/proxy.lua.
local causes = require "migrator.proxies.causes"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local holder = require "migrator.proxies.holder"
local hash = require "migrator.core.hash"
local http = require "migrator.core.http"
local join = require("migrator.lib.tables").join
local process = require "migrator.core.process"
local remains = require "migrator.proxies.remains"

local M = {}

local NO_LOG = "No proxy log found"
local ALL = 64 * 1024 * 1024 -- bytes of log that one dump shows at most
local TAIL_BYTES, TAIL_LINES = 64 * 1024, 20
local DETAIL_LINES = 5 -- of the log, in an error: whoever shows the error also shows the log
local DEFAULTS = { log = "proxy.log", grace = 3 }
local READY = { every = 1, timeout = 30 }
-- One probe may not eat the whole budget: an endpoint that accepts and never answers is asked again.
local PROBE_SECONDS = 2
-- What was only just started is there in a moment; `every` is for what takes longer.
local FIRST_PAUSE = 0.05

local OPTIONS = {
  cmd = "table", log = "string", append = "boolean", cwd = "string", env = "table", user = "string", ready = "table",
  ports = "table", grace = "number", name = "string", stop_signal = "string", causes = "table",
}
local READY_OPTIONS = { url = "string", every = "number", timeout = "number", probe = "function", log = "string",
  port = "number" }

local Proxy = {}
Proxy.__index = Proxy

local function check_options(options, known, where)
  for key, value in pairs(options) do
    local expected = known[key]
    if not expected then error(("%s: option '%s' is not known"):format(where, tostring(key)), 3) end
    if type(value) ~= expected then
      error(("%s: option '%s' must be a %s, got %s"):format(where, key, expected, type(value)), 3)
    end
  end
end

local function describe(status)
  if status.signal then return "was killed by SIG" .. status.signal end
  return "exited with code " .. status.code
end

local function last_lines(text, count)
  local lines = {}
  for line in text:gmatch("[^\r\n]+") do lines[#lines + 1] = line end
  return table.concat(lines, "\n", math.max(1, #lines - count + 1))
end

local function port_of(url)
  local host, port = url:match("^%a+://([^/?#]*):(%d+)")
  if not host then return nil end
  host = host:match("[^@]*$"):lower()
  if host == "localhost" or host == "[::1]" or host:find("^127%.") then return math.tointeger(tonumber(port)) end
end

-- A stranger's listener would answer every probe, and take the migration to who knows which database (R72).
local function check_ports(name, options)
  local ports = {}
  for _, port in ipairs(options.ports or {}) do ports[#ports + 1] = port end
  ports[#ports + 1] = options.ready and options.ready.url and port_of(options.ready.url)
  for _, port in ipairs(ports) do
    if not http.port_free(port) then
      local who = holder.find(port)
      errors.raise("proxy", {
        message = ("cannot start %s: port %d is in use by %s"):format(name, port, who or "another program"),
        hint = (who and "stop that program, or choose another port"
          or "stop that program (`ss -ltnp 'sport = :%d'` as root names it), or choose another port"):format(port),
      })
    end
  end
end

---Starts a program and watches it. Its ports must be free; it is not waited for.
---Raises `proxy` when a port is taken or the program cannot be started.
---@param options migrator.ProxyOptions
---@return migrator.Proxy
function M.start(options)
  if type(options) ~= "table" then error("proxy.start: options must be a table", 2) end
  check_options(options, OPTIONS, "proxy.start")
  check_options(options.ready or {}, READY_OPTIONS, "proxy.start: ready")
  if not options.cmd or #options.cmd == 0 then error("proxy.start: option 'cmd' is missing", 2) end
  local name = options.name or tostring(options.cmd[1]):match("[^/]*$")
  check_ports(name, options)
  local mark = hash.random_hex(8)
  local started, child = pcall(process.start, {
    cmd = options.cmd, cwd = options.cwd, env = join(options.env or {}, { [remains.NAME] = mark }),
    user = options.user, append = options.append,
    stop_signal = options.stop_signal, log = options.log or DEFAULTS.log, grace = options.grace or DEFAULTS.grace,
    guard = true,
  })
  if not started then
    if not errors.is(child, "script") then error(child, 0) end
    errors.raise("proxy", { message = name .. ": " .. child.message, hint = child.hint, cause = child })
  end
  return setmetatable({ name = name, child = child, ready = options.ready or {}, causes = options.causes,
    log = options.log or DEFAULTS.log, mark = mark }, Proxy)
end

---Writes a proxy's log, or the line that says there is none.
---@param proxy? migrator.Proxy nil when it never started
---@param write fun(line: string)
---@param most? integer only so many lines, the last ones, and a first one that says where the others are
function M.dump(proxy, write, most)
  local text = proxy and proxy:log_text()
  if not text then return write(NO_LOG) end
  local lines = {}
  for line in text:gmatch("([^\n]*)\n?") do
    if line ~= "" then lines[#lines + 1] = line:gsub("\r$", "") end
  end
  local left_out = math.max(0, #lines - (most or #lines))
  if left_out > 0 then write(("… %d earlier lines are in %s"):format(left_out, proxy.log)) end
  for i = left_out + 1, #lines do write(lines[i]) end
end

---@return boolean
function Proxy:alive() return self.child:alive() end

---@return integer
function Proxy:pid() return self.child:pid() end

---@return {code: integer, signal: string?}? status nil while it runs
function Proxy:status() return self.child:status() end

---Waits for its end.
---@param deadline number
---@return {code: integer, signal: string?}? status nil while it runs
function Proxy:try_wait(deadline) return self.child:try_wait(deadline) end

---The last lines of this run's log.
---@param count? integer 20
---@return string? lines nil when there is no log
function Proxy:log_tail(count)
  local text = self.child:log_tail(TAIL_BYTES)
  return text and last_lines(text, count or TAIL_LINES)
end

---All of this run's log.
---@return string? text nil when there is no log
function Proxy:log_text() return self.child:log_tail(ALL) end

---Writes this run's log line by line, or `No proxy log found`.
---@param write fun(line: string)
function Proxy:dump(write) M.dump(self, write) end

---Why it failed, as far as its log can be understood.
---@return migrator.ProxyReason? reason
function Proxy:reason() return causes.recognise(self.child:log_tail(TAIL_BYTES), self.causes) end

---How it ended and why, in one sentence; nil while it runs.
---@return string? sentence
---@return migrator.ProxyReason? reason
function Proxy:epitaph()
  local status = self.child:status()
  if not status then return nil end
  local reason = self:reason()
  return ("%s %s"):format(self.name, describe(status)) .. (reason and ": " .. reason.why or ""), reason
end

local function raise_exit(self, status, cause)
  local tail, reason = self:log_tail(DETAIL_LINES), self:reason()
  errors.raise(reason and reason.config and "config" or "proxy", {
    message = ("%s %s before it was ready%s"):format(self.name, describe(status), reason and ": " .. reason.why or ""),
    detail = reason and reason.line or tail ~= "" and tail or nil,
    hint = reason and reason.hint or tail == "" and "it wrote nothing to its log" or "its log, above, says why",
    reason = reason and reason.name, cause = cause,
  })
end

local function raise_late(self, started, said)
  local tail, reason = self:log_tail(DETAIL_LINES), self:reason()
  errors.raise("timeout", {
    message = ("%s was not ready after %.3g s: %s%s"):format(self.name, clock.now() - started, said,
      reason and "; " .. reason.why or ""),
    detail = reason and reason.line or tail ~= "" and tail or nil,
    hint = reason and reason.hint or "what it waits for does not answer: its log, above, says how far it came",
    reason = reason and reason.name,
  })
end

-- One look: HTTP first, then the caller's own. Whatever answered, it only counts while our child lives.
local function probe(self, deadline)
  local ready = self.ready
  if ready.url then
    local response, why = http.try_get(ready.url, { deadline = deadline })
    if not response then return nil, why end
    if response.status ~= 200 then
      local said = last_lines(response.body, 1):sub(1, 200)
      return nil, ("it answered %d %s"):format(response.status, said)
    end
    if not self.child:alive() then return nil, "it is gone" end
  end
  if ready.log and not (self:log_text() or ""):find(ready.log, 1, true) then
    return nil, ("its log does not say %q yet"):format(ready.log)
  end
  -- It was free before, so who listens now is our child; nobody connects, as that would reach the database.
  if ready.port and http.port_free(math.tointeger(ready.port)) then
    return nil, ("it does not listen on port %d yet"):format(ready.port)
  end
  if ready.probe then
    local ok, why = ready.probe(deadline)
    if not ok then return nil, why or "the probe said no" end
  end
  return self.child:alive(), "it is gone"
end

---Waits until it is ready: the URL answers 200, then the probe says yes, and it still runs after each.
---Raises `proxy` at once when it exits, with its status and the end of its log; `timeout` when it takes too long.
---@param deadline? number the sooner of this and `ready.timeout` counts
---@param every? number seconds between two looks, instead of `ready.every`
---@return migrator.Proxy self
function Proxy:wait_ready(deadline, every)
  local ready, started = self.ready, clock.now()
  every = every or ready.every or READY.every
  local last = started + (ready.timeout or READY.timeout)
  local reason
  local pause = math.min(every, FIRST_PAUSE)
  if deadline and deadline < last then last = deadline end
  repeat
    local status = self.child:status()
    if status then raise_exit(self, status) end
    local ran, ok, why = pcall(probe, self, math.min(last, clock.now() + math.max(every, PROBE_SECONDS)))
    status = self.child:status()
    if not ran and (errors.is(ok, "interrupted") or not status) then error(ok, 0) end
    if status then raise_exit(self, status, not ran and ok or nil) end
    if ok then return self end
    if not reason or clock.now() < last then reason = why end -- a probe cut short by the deadline says only that
    self.child:try_wait(math.min(last, clock.now() + pause)) -- sleeps, but not through its exit
    pause = math.min(every, pause * 2)
  until clock.now() >= last
  local status = self.child:status()
  if status then raise_exit(self, status) end
  raise_late(self, started, reason)
end

---Stops it and its whole process group: stop signal, grace, SIGKILL; and what left the group. Again is harmless.
---@return {code: integer, signal: string?} status
function Proxy:stop()
  local mark, status = self.mark, self.child:stop()
  self.mark = nil
  if mark then remains.stop(mark) end
  return status
end

Proxy.__close = Proxy.stop

return M
