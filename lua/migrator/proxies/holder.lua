---Who listens on a port of this machine: a question that only other programs can answer, and only as far as we may see.
local clock = require "migrator.core.clock"
local process = require "migrator.core.process"

local M = {}

local SECONDS = 2

local function ask(cmd)
  if not process.find(cmd[1]) then return nil end
  local ok, ran = pcall(process.run, { cmd = cmd, stderr = "null", deadline = clock.deadline(SECONDS) })
  return ok and ran.code == 0 and ran.stdout or nil
end

---@param port integer
---@return string? who such as `postgres (pid 311)`; nil when it cannot be learned
function M.find(port)
  local said = ask { "ss", "-Hltnp", ("sport = :%d"):format(port) }
  local name, pid = (said or ""):match('users:%(%("([^"]+)",pid=(%d+)')
  if not pid then
    said = ask { "lsof", "-nP", "-Fpc", ("-iTCP:%d"):format(port), "-sTCP:LISTEN" }
    pid, name = (said or ""):match("p(%d+)\nc([^\n]+)")
  end
  return pid and ("%s (pid %s)"):format(name, pid) or nil
end

return M
