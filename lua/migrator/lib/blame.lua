---Whose line it was: an error that our code raises on behalf of a script is placed at the script's own line.
local errors = require "migrator.error"

local M = {}

-- Our own chunks are "=migrator:…" in the binary and "@…/migrator/…" from a folder: this one's name tells which.
local OURS = debug.getinfo(1, "S").source:gsub("lib[./]blame.*$", "")

local UNPLACED = { interrupted = true, internal = true }

local function is_ours(info) return info.source:sub(1, #OURS) == OURS end

local function is_script(info) return info.source:sub(1, 1) == "@" and not is_ours(info) end

---The innermost frame of a script.
---@param level integer 1: the caller
---@return string|nil file, integer|nil line
function M.find(level)
  level = level + 1
  local info = debug.getinfo(level, "Sl")
  while info do
    if is_script(info) then return info.source:sub(2), info.currentline end
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
end

-- The text without the place in our code, or nil when the script raised it itself or the mistake is ours.
local function strip(text, level)
  local info = debug.getinfo(level, "Sl")
  local raised = false
  while info and not is_script(info) do
    if info.what ~= "C" then
      raised = true
      local prefix = info.short_src .. ":"
      if text:sub(1, #prefix) == prefix then
        text = text:sub(#prefix + 1):gsub("^%d+: ", "")
        break
      end
    end
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  if not raised or text:find("^attempt to ") or text:find("^[^\n:]+:%d+: ") then return nil end
  return text
end

---For message handlers, called at their end (a tail call): a typed error without a place gets the script's, and so
---does the text of an argument error.
---@param err any
---@param name? string what the script called; without it texts stay as they are
---@param shift? integer how many arguments ours has before the script's
---@return any err
function M.place(err, name, shift)
  if errors.is(err) then
    if rawget(err, "file") or rawget(err, "line") or UNPLACED[err.code] then return err end
    local file, line = M.find(2)
    return errors.add(err, { file = file, line = line })
  end
  local text = name and type(err) == "string" and strip(err, 3)
  local file, line = M.find(2)
  if not text or not file then return err end
  text = text:gsub("^bad argument #(%d+) to '([^']*)'", function(number, called)
    if not (called == "?" or called == "method" or called:find("^migrator%.")) then return nil end
    return ("bad argument #%d to '%s'"):format(math.max(1, math.tointeger(number) - (shift or 0)), name)
  end)
  return ("%s:%d: %s"):format(file, line, text)
end

---The function, with what it raises placed at the script's line.
---@param fn function
---@param name? string
---@param shift? integer
---@return function
function M.guard(fn, name, shift)
  local function handler(err) return M.place(err, name, shift) end
  return function(...)
    local result = table.pack(xpcall(fn, handler, ...))
    if result[1] then return table.unpack(result, 2, result.n) end
    error(result[2], 0)
  end
end

---A copy of the table with its functions guarded.
---@param from table<string, any>
---@param label string
---@return table<string, any>
function M.guard_all(from, label)
  local out = {}
  for name, value in pairs(from) do
    out[name] = type(value) == "function" and M.guard(value, label .. "." .. name) or value
  end
  return out
end

return M
