---Temporary folders, gone when the spec file that asked for them is done.
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"

local M = {}

local made = {}

---@param files? table<string, string> what to write into it, by relative path
---@return string path of a new folder, mode 0700
function M.dir(files)
  local path = fs.temp("migrator-spec")
  made[#made + 1] = path
  for name, text in pairs(files or {}) do M.write(path .. "/" .. name, text) end
  return path
end

---Writes a file, and the folders above it.
function M.write(path, text, mode)
  local folder = path:match("^(.*)/")
  if folder and folder ~= "" then fs.mkdir(folder) end
  fs.write(path, text, mode)
  return path
end

function M.clean()
  if host.environment().MIGRATOR_TEST_KEEP then return end
  for _, path in ipairs(made) do fs.remove(path) end
  made = {}
end

return M
