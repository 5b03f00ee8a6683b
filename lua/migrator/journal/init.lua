---The journal: the ordered migrations that the repository declares. An adapter reads one layout of files.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local drizzle = require "migrator.journal.drizzle"

local M = {}

---@class migrator.Entry
---@field idx integer
---@field tag string
---@field when integer milliseconds, what the tracking table keeps as created_at
---@field hash string sha256 of the text, hex
---@field path string
---@field line integer where the journal declares it
---@field text fun(self): string what the hash is of: the file as UTF-8, invalid bytes replaced
---@field statements fun(self): migrator.Statement[]

---@class migrator.Journal
---@field dir string
---@field path string the journal's own file
---@field entries migrator.Entry[] in the order in which they are applied
---@field findings migrator.Finding[]

---Reads the journal and every file it names.
---@param dir string
---@param opts? { orphans?: "forgotten"|"refuse"|"allow" }
---@return migrator.Journal
function M.load(dir, opts)
  if type(dir) ~= "string" then error("journal.load needs a folder", 2) end
  local found = fs.find(dir)
  if not found then
    errors.raise("journal", { message = "there is no migrations folder " .. dir,
      hint = "name it with --dir, MIGRATOR_DIR or `dir` in migrator.config.lua; `migrator init` makes one" })
  end
  if found.type ~= "directory" then errors.raise("journal", { message = dir .. " is not a folder", file = dir }) end
  return drizzle.read(dir, opts or {})
end

return M
