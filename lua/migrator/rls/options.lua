---Options of the functions of `rls`: a misspelt one would be a policy that is not what it looks like.
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

local M = {}

---@param what string
---@param given any
---@param known table<string, string> name -> types; a `!` behind them: required
---@return table
function M.check(what, given, known)
  if type(given) ~= "table" then errors.raise("usage", { message = what .. " wants a table of options" }) end
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  for name, value in pairs(given) do
    local wants = known[name] and known[name]:gsub("!", "")
    if not wants then
      errors.raise("usage", { message = ("%s has no option %q"):format(what, tostring(name)),
        hint = suggest.hint(tostring(name), names) })
    elseif not (" " .. wants .. " "):find(" " .. type(value) .. " ", 1, true) then
      errors.raise("usage", { message = ("%s: %s wants a %s, got a %s"):format(what, name, wants:gsub(" ", " or "),
        type(value)) })
    end
  end
  for name, wants in pairs(known) do
    if wants:find("!", 1, true) and given[name] == nil then
      errors.raise("usage", { message = ("%s needs the option %q"):format(what, name) })
    end
  end
  return given
end

---A session, or the script's `db`, which stands for the run's.
---@param what string
---@param conn any
---@return migrator.Conn
function M.session(what, conn)
  local ok, method = pcall(function() return conn.transaction and conn.status and conn.exec end)
  if ok and method then return conn end
  errors.raise("usage", { message = ("%s wants a session first: db.connect(), or ctx.conn"):format(what) })
end

---One name or several, as a list.
---@param value string|string[]|nil
---@return string[]
function M.list(value)
  if value == nil then return {} end
  return type(value) == "table" and value or { value }
end

return M
