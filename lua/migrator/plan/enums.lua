---A value added to an enum cannot be used before the transaction that added it ends (55P04); from PostgreSQL 17 on it
---can when that transaction made the type as well. Found by reading the statements, so that the run is split there
---beforehand.
local M = {}

local function type_name(text, pattern)
  local name = text:match(pattern)
  if not name then return nil end
  return (name:gsub('^.*%.', ""):gsub('"', ""))
end

local NAME = '([%w_"%.\128-\255]+)'

local MADE_IS_ENOUGH = 170000

---@param server_version? integer 150020
---@return table watcher follows the statements of one transaction
function M.watcher(server_version)
  return { made = {}, added = {}, lenient = (server_version or 0) >= MADE_IS_ENOUGH }
end

---What a statement adds or makes.
---@param watcher table
---@param statement migrator.Statement
function M.see(watcher, statement)
  local words = statement.words
  if words:find("^DROP TYPE") then
    M.forget(watcher, statement)
  elseif words:find("^CREATE TYPE") then
    local name = type_name(statement.text, "[Tt][Yy][Pp][Ee]%s+" .. NAME)
    if name then watcher.made[name] = true end
  elseif words:find("^ALTER TYPE") then
    local name = type_name(statement.text, "[Tt][Yy][Pp][Ee]%s+" .. NAME)
    local value = statement.text:match("[Vv][Aa][Ll][Uu][Ee]%s+'(.-)'") or
      statement.text:match("[Ee][Xx][Ii][Ss][Tt][Ss]%s+'(.-)'")
    if name and value and statement.text:upper():find("ADD%s+VALUE")
      and not (watcher.lenient and watcher.made[name]) then
      watcher.added[#watcher.added + 1] = { type = name, value = value }
    end
  end
end

local DROP = "[Dd][Rr][Oo][Pp]%s+[Tt][Yy][Pp][Ee]%s+"
-- Where a literal that equals a new value is surely no use of it.
local NO_USE = {
  "[Aa][Ss]%s+[Ee][Nn][Uu][Mm]%s*%b()",
  "[Aa][Dd][Dd]%s+[Vv][Aa][Ll][Uu][Ee]%s+'[^']*'",
  "[Ee][Xx][Ii][Ss][Tt][Ss]%s+'[^']*'",
  "enumlabel%s*=%s*'[^']*'",
  "[Tt][Ee][Xx][Tt]%s+[Dd][Ee][Ff][Aa][Uu][Ll][Tt]%s+'[^']*'",
  "[Vv][Aa][Rr][Cc][Hh][Aa][Rr]%s*%b()%s*[Dd][Ee][Ff][Aa][Uu][Ll][Tt]%s+'[^']*'",
}

---The added value that a statement uses, if it does.
---@param watcher table
---@param statement migrator.Statement
---@return { type: string, value: string }|nil
function M.find_use(watcher, statement)
  if #watcher.added == 0 or statement.words:find("^COMMENT") then return nil end
  if statement.words:find("^ALTER TYPE") and statement.text:upper():find("ADD%s+VALUE") then return nil end
  local text
  for _, added in ipairs(watcher.added) do
    local literal = "'" .. added.value .. "'"
    if statement.text:find(literal, 1, true) then
      if not text then
        text = statement.text
        for _, pattern in ipairs(NO_USE) do text = text:gsub(pattern, " ") end
      end
      if text:find(literal, 1, true) then return added end
    end
  end
end

---A dropped type takes its values along.
function M.forget(watcher, statement)
  local name = type_name(statement.text, DROP .. "[Ii][Ff]%s+[Ee][Xx][Ii][Ss][Tt][Ss]%s+" .. NAME)
    or type_name(statement.text, DROP .. NAME)
  if not name then return end
  for i = #watcher.added, 1, -1 do
    if watcher.added[i].type == name then table.remove(watcher.added, i) end
  end
end

return M
