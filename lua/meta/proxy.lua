---@meta migrator.proxy

---A program that the run needs beside it, such as a database proxy: watched, ready before we go on, stopped with us.
---@class migrator.proxy
local proxy = {}

---@class (exact) migrator.ProxyReady
---@field url? string asked by GET; 200 is ready
---@field every? number seconds between two looks, 1
---@field timeout? number seconds in all, 30
---@field log? string a text that its log holds once it is ready
---@field port? integer it listens there once it is ready
---@field probe? fun(deadline: number): boolean?, string? asked last; nil and a reason is "not yet"

---Why a proxy fails, recognised in its log. `{1}` in the texts is the pattern's first capture.
---@class (exact) migrator.ProxyCause
---@field name string
---@field patterns string[] Lua patterns, each for one line
---@field why string
---@field hint? string
---@field passing? boolean may be over by itself, so that waiting goes on
---@field config? boolean the options are wrong: exit code 2, not 4

---@class (exact) migrator.ProxyReason: migrator.ProxyCause
---@field line string the line of the log that says so

---@class (exact) migrator.ProxyOptions
---@field cmd (string|number)[] program and arguments, no shell
---@field log? string file for both its streams, "proxy.log"
---@field append? boolean keep what the log file holds
---@field cwd? string
---@field env? table<string, string|number|false>|string[]
---@field user? string
---@field ready? migrator.ProxyReady
---@field ports? integer[] loopback ports it will listen on; each must be free, as must be the port of `ready.url`
---@field grace? number seconds between the stop signal and SIGKILL, 3
---@field name? string for messages
---@field stop_signal? string "TERM"
---@field causes? migrator.ProxyCause[] looked through before those that every program has

---Starts a program and watches it; it is not waited for.
---Raises `proxy` when a port is taken by somebody else or the program cannot be started.
---```lua
---local tunnel = proxy.start { cmd = { "cloud-sql-proxy", instance }, ports = { 5432 }, ready = { url = ready_url } }
---tunnel:wait_ready()
---```
---@param options migrator.ProxyOptions
---@return migrator.Proxy
function proxy.start(options) end

---Writes a proxy's log line by line, or `No proxy log found`.
---@param handle? migrator.Proxy nil when it never started
---@param write fun(line: string)
function proxy.dump(handle, write) end

---A proxy that was started.
---@class migrator.Proxy
---@field name string
local Proxy = {}

---Waits until the URL answers 200 and the probe says yes, while it runs.
---Raises `proxy` at once when it exits, with its status and the end of its log; `timeout` when it takes too long.
---@param deadline? number the sooner of this and `ready.timeout` counts
---@param every? number seconds between two looks, instead of `ready.every`
---@return migrator.Proxy
function Proxy:wait_ready(deadline, every) end

---Whether it runs.
---@return boolean
function Proxy:alive() end

---Returns its process number.
---@return integer
function Proxy:pid() end

---How it ended.
---@return migrator.Status? status nil while it runs
function Proxy:status() end

---Waits for its end.
---@param deadline number
---@return migrator.Status? status nil while it runs
function Proxy:try_wait(deadline) end

---The last lines of this run's log.
---@param count? integer 20
---@return string? lines nil when there is no log
function Proxy:log_tail(count) end

---All of this run's log.
---@return string? text nil when there is no log
function Proxy:log_text() end

---Why it failed, as far as its log can be understood.
---@return migrator.ProxyReason? reason
function Proxy:reason() end

---How it ended and why, in one sentence.
---@return string? sentence nil while it runs
---@return migrator.ProxyReason? reason
function Proxy:epitaph() end

---Writes this run's log line by line, or `No proxy log found`.
---@param write fun(line: string)
function Proxy:dump(write) end

---Stops it and its whole process group. Again is harmless.
---@return migrator.Status
function Proxy:stop() end

return proxy, { ["migrator.Proxy"] = Proxy }
