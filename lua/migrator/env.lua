-- `.env` files. What the environment already holds always wins.
local errors = require "migrator.error"

local M = {}

local ESCAPES = { n = "\n", r = "\r", t = "\t", ["\\"] = "\\", ['"'] = '"', ["$"] = "$" }

local function refuse(source, line, why)
  errors.raise("config", { message = "bad .env file: " .. why, file = source, line = line })
end

-- The message never quotes a value: it is likely to be a secret.
local function finish(text, at, source, line)
  local tail, next_at = text:match("^[ \t\r]*([^\n]*)\n?()", at)
  if not tail:find("^#") and tail ~= "" then refuse(source, line, "text after the closing quote") end
  return next_at
end

local function double_quoted(text, at, source, line)
  local out, i = {}, at + 1
  while true do
    local plain, stop = text:match('^([^"\\]*)()', i)
    out[#out + 1] = plain
    local c = text:sub(stop, stop)
    if c == "" then refuse(source, line, "the double quote is never closed") end
    if c == '"' then return table.concat(out), stop + 1 end
    local escaped = text:sub(stop + 1, stop + 1)
    if escaped ~= "\n" then out[#out + 1] = ESCAPES[escaped] or ("\\" .. escaped) end
    i = stop + 2
  end
end

local function literal_quoted(text, at, source, line)
  local quote = text:sub(at, at)
  local stop = text:find(quote, at + 1, true)
  if not stop then refuse(source, line, "the quote is never closed") end
  return text:sub(at + 1, stop - 1), stop + 1
end

local function value_at(text, at, source, line)
  local first = text:sub(at, at)
  if first == '"' or first == "'" or first == "`" then
    local read = first == '"' and double_quoted or literal_quoted
    local value, after = read(text, at, source, line)
    local next_at = finish(text, after, source, line)
    return value, next_at
  end
  local raw, next_at = text:match("^([^\n]*)\n?()", at)
  raw = raw:gsub("^#.*$", ""):gsub("%s#.*$", "")
  return raw:match("^%s*(.-)%s*$"), next_at
end

local function count_lines(text)
  local _, n = text:gsub("\n", "")
  return n
end

---Variables of `.env` text and the order in which they stand; a later line wins. Raises `config` naming the line.
---@param text string
---@param source? string the file's name, for errors
---@return table<string, string> values
---@return string[] names
function M.parse(text, source)
  text = text:gsub("^\239\187\191", ""):gsub("\r\n", "\n")
  local values, names, at, line = {}, {}, 1, 1
  while at <= #text do
    local next_at = text:match("^[ \t\r]*\n()", at) or text:match("^[ \t\r]*#[^\n]*\n?()", at)
      or text:match("^[ \t\r]*()$", at)
    if not next_at then
      local start = text:match("^[ \t]*export[ \t]+()", at) or text:match("^[ \t]*()", at)
      local name, after = text:match("^([%a_][%w_%.%-]*)[ \t]*=[ \t]*()", start)
      if not name then refuse(source, line, "expected NAME=value") end
      if values[name] == nil then names[#names + 1] = name end
      values[name], next_at = value_at(text, after, source, line)
      if values[name]:find("\0", 1, true) then refuse(source, line, name .. " contains a NUL byte") end
    end
    line = line + count_lines(text:sub(at, next_at - 1))
    at = next_at
  end
  return values, names
end

---Reads a `.env` file if there is one. Answers only what the real environment does not already have, or nil if there
---is no file. An empty variable counts as set.
---@param path string
---@param opts? {fs?: table, getenv?: fun(name: string): string?}
---@return table<string, string>?
function M.load_if_exists(path, opts)
  opts = opts or {}
  local fs = opts.fs or require "migrator.core.fs"
  local getenv = opts.getenv or os.getenv
  if not fs.find(path) then return nil end
  local values, added = M.parse(fs.read(path), path), {}
  for name, value in pairs(values) do
    if getenv(name) == nil then added[name] = value end
  end
  return added
end

return M
