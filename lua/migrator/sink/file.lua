---Files for whoever comes after: written as a whole, masked, the folders above them made. What is no plain file is not
---replaced by one.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local mask = require "migrator.lib.mask"

local M = {}

---Refuses a path that cannot become a file, before the run rather than behind it.
---@param path string
---@param what string for the message
function M.check(path, what)
  if path == "" or path:find("[%c]") then
    errors.raise("config", { message = ("%s: no path of a file: %q"):format(what, path) })
  end
  local found = fs.find(path)
  if found and found.type ~= "file" then
    errors.raise("config", { message = ("%s: %s is not a file, and will not be replaced by one"):format(what, path) })
  end
  local folder = path:match("^(.+)/[^/]*$")
  if path:sub(-1) == "/" then errors.raise("config", { message = ("%s: %s is a folder"):format(what, path) }) end
  if folder then fs.mkdir(folder) end
end

---@param path string
---@param text string
function M.write(path, text) fs.write(path, mask.apply(text)) end

---@param path string
---@param value table
function M.write_json(path, value) fs.write(path, require("migrator.sink").encode_masked(value) .. "\n") end

return M
