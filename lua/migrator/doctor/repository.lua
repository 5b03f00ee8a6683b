---What can be looked at without a server: settings, the way to the database, journal and files.
local engine = require "migrator.engine"
local errors = require "migrator.error"
local host = require "migrator.core.host"
local segments = require "migrator.plan.segments"
local url = require "migrator.lib.url"

local M = {}

function M.binary(add) add("migrator", "ok", ("%s, %s"):format(host.version, _VERSION)) end

---@param config migrator.Config
function M.settings(add, config)
  add("config", "ok", config.project and "settings from " .. config.project or "no migrator.config.lua, which is fine")
  if config.env_file then add("env file", "ok", "variables from " .. config.env_file) end
end

---@return string|nil url
function M.url(add, config)
  local value = config.url
  if not value or not value:find("%S") then
    add("url", "fail", "no database: DATABASE_URL is not set", "set DATABASE_URL, pass --url, or put it into .env",
      "config")
    return nil
  end
  local ok, words, notes = pcall(url.conninfo, value)
  if not ok then
    local err = errors.wrap(words, "config")
    add("url", "fail", err.message, err.hint, err.code)
    return nil
  end
  add("url", "ok", ("%s (from %s)"):format(url.redact(value), config.origins.url))
  for _, note in ipairs(type(notes) == "table" and notes or {}) do add("url", "warn", tostring(note)) end
  return value
end

---@return migrator.Journal|nil
function M.journal(add, config)
  local ok, journal = pcall(engine.journal, config)
  if not ok then
    local err = errors.wrap(journal, "internal")
    add("journal", "fail", err.line and tostring(err) or err.message, err.hint, err.code)
    return nil
  end
  add("journal", "ok", ("%s, %d migration(s) (folder: %s)"):format(journal.path, #journal.entries, config.origins.dir))
  for _, finding in ipairs(journal.findings) do
    if finding.severity ~= "info" then
      local orphan = finding.rule == "orphan"
      add("journal", "warn", finding.message, orphan and 'add its entry, remove it, or set orphans = "allow"' or nil)
    end
  end
  return journal
end

---A file that cannot run matters where it still has to.
---@param journal migrator.Journal
---@param applied table<migrator.Entry, boolean>
function M.files(add, journal, applied)
  local bad, bytes = 0, 0
  for _, entry in ipairs(journal.entries) do
    local ok, err = pcall(segments.build, { entry }, "all")
    bytes = bytes + entry.size
    if not ok then
      err = errors.wrap(err, "internal")
      bad = bad + 1
      local message = tostring(err) .. (applied[entry] and " (it was applied already)" or "")
      add("files", applied[entry] and "warn" or "fail", message, err.hint, err.code)
    end
  end
  if bad == 0 then add("files", "ok", ("every migration can be read, %d KiB"):format((bytes + 1023) // 1024)) end
end

return M
