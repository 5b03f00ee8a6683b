---Where a file is for a CI system: relative to the root of the repository, which need not be where we were started.
local fs = require "migrator.core.fs"

local M = {}

---@param environment table<string, string>
---@param path string|nil
---@return string|nil
function M.of(environment, path)
  local root = environment.GITHUB_WORKSPACE or environment.CI_PROJECT_DIR
  if not path then return nil end
  if (root or "") == "" then return (path:gsub("^%./", "")) end
  local absolute = path:sub(1, 1) == "/" and path or fs.current() .. "/" .. path:gsub("^%./", "")
  root = root:gsub("/+$", "") .. "/"
  local ok, real = pcall(fs.absolute, root) -- the folder that we are in is known by its real name
  for _, folder in ipairs { root, ok and real:gsub("/+$", "") .. "/" or nil } do
    if absolute:sub(1, #folder) == folder then return absolute:sub(#folder + 1) end
  end
  return (path:gsub("^%./", ""))
end

return M
