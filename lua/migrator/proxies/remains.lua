---What a proxy left behind: a program can leave its process group, and then nothing that stops the group reaches it. Each
---process that came of it still has the variable with which it was started.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local process = require "migrator.core.process"

local M = {}

M.NAME = "MIGRATOR_PROXY_RUN"

local GRACE, LOOK = 0.5, 0.05 -- seconds: between SIGTERM and SIGKILL, and between two looks

---Empty where there is no /proc to look into.
---@param mark string the variable's value
---@return string[] pids
function M.find(mark)
  local out = {}
  local entry = ("\0%s=%s\0"):format(M.NAME, mark)
  for _, pid in ipairs(fs.find "/proc/self/environ" and fs.list "/proc" or {}) do
    if pid:find("^%d+$") then
      local ok, environ = pcall(fs.read, "/proc/" .. pid .. "/environ")
      if ok and ("\0" .. environ .. "\0"):find(entry, 1, true) then out[#out + 1] = pid end
    end
  end
  return out
end

local function send(signal, pids)
  local ok, err = pcall(process.run, { cmd = { "kill", "-" .. signal, table.unpack(pids) }, stderr = "null" })
  if not ok and errors.is(err, "interrupted") then error(err, 0) end
end

---Ends what is still there.
---@param mark string
function M.stop(mark)
  local pids = M.find(mark)
  if not pids[1] then return end
  send("TERM", pids)
  local last = clock.deadline(GRACE)
  while pids[1] and clock.now() < last do
    clock.sleep(LOOK)
    pids = M.find(mark)
  end
  if pids[1] then send("KILL", pids) end
end

return M
