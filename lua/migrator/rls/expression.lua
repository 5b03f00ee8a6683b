---Reads a policy's expression as the server prints it (pg_get_expr). Pure.
local M = {}

local SLOW = { current_setting = true, ["auth.uid"] = true, ["auth.jwt"] = true, ["auth.role"] = true }

local function skip_quoted(text, at)
  local quote = text:sub(at, at)
  local close = at
  repeat
    close = text:find(quote, close + 1, true)
    if not close then return #text + 1 end
    local doubled = text:sub(close + 1, close + 1) == quote
    if doubled then close = close + 1 end
  until not doubled
  return close + 1
end

---The function that is called for each row although its answer is the same for all of a statement, or nil: a call that no
---sub-select encloses.
---@param text string
---@return string|nil name
function M.find_slow_call(text)
  local depth, selects, at = 0, {}, 1
  while at <= #text do
    local c = text:sub(at, at)
    if c == "'" or c == '"' then
      at = skip_quoted(text, at)
    elseif c == "(" then
      depth = depth + 1
      selects[depth] = selects[depth - 1] or text:find("^%s*SELECT%f[%A]", at + 1) ~= nil
      at = at + 1
    elseif c == ")" then
      depth = math.max(0, depth - 1)
      at = at + 1
    elseif c:find("[%a_]") then
      local name, after = text:match("^([%w_.]+)()", at)
      local called = text:sub(after, after) == "("
      local plain = name:gsub("^pg_catalog%.", "")
      if called and SLOW[plain] and not selects[depth] then return plain end
      at = after
    else
      at = at + 1
    end
  end
end

---Does it let every row through?
---@param text string
function M.is_open(text) return text:match("^%(*true%)*$") ~= nil end

---Does it look at the column?
---@param text string
---@param column string
function M.mentions(text, column)
  local pattern = column:gsub("%p", "%%%0")
  local bare = text:gsub("'[^']*'", "''")
  return bare:find("%f[%w_\128-\255]" .. pattern .. "%f[^%w_\128-\255]") ~= nil
end

return M
