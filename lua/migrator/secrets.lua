---What must never be printed, found where it comes in.
local mask = require "migrator.lib.mask"
local url = require "migrator.lib.url"

local M = {}

---Hides the password of a URL or conninfo text.
---@param text string|nil
function M.hide_url(text)
  if type(text) ~= "string" then return end
  local ok, words = pcall(url.conninfo, text)
  if ok and words.password and #words.password > 0 then mask.add(words.password) end
end

---@param config migrator.Config
function M.hide(config)
  M.hide_url(config.url)
  for _, name in ipairs { "DATABASE_URL", "PGPASSWORD" } do
    local value = config.environment[name]
    if name == "PGPASSWORD" then
      if value and #value > 0 then mask.add(value) end
    else
      M.hide_url(value)
    end
  end
end

return M
