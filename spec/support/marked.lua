---Processes by a variable of their environment: whatever a run started has it too, in whatever group or session it is.
local fs = require "migrator.core.fs"

local M = {}

local NAME = "MIGRATOR_SPEC_MARK"
M.NAME = NAME

---@param mark string the variable's value
---@param pattern? string plain text of the command line
---@return { pid: integer, cmd: string }[]
function M.find(mark, pattern)
  local out = {}
  for _, pid in ipairs(fs.list "/proc") do
    if pid:find("^%d+$") then
      local ok, environ = pcall(fs.read, "/proc/" .. pid .. "/environ")
      if ok and ("\0" .. environ):find(("\0%s=%s\0"):format(NAME, mark), 1, true) then
        local read, cmd = pcall(fs.read, "/proc/" .. pid .. "/cmdline")
        cmd = read and cmd:gsub("%z", " ") or ""
        if cmd ~= "" and (not pattern or cmd:find(pattern, 1, true)) then
          out[#out + 1] = { pid = math.tointeger(tonumber(pid)), cmd = cmd }
        end
      end
    end
  end
  return out
end

return M
