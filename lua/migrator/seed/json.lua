---JSON that survives the way into the database: an empty list stays a list, whole numbers keep 64 bits, and a number is
---written as it was read. (lua-cjson knows neither of these.)
local array = require("migrator.sink").array

local M = {}

local ARRAY = getmetatable(array {})
M.null = require("cjson").null

local ESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function fail(at, message) error({ at = at, message = message }, 0) end

local function unescape(text, at)
  local out, from = {}, 1
  while true do
    local slash = text:find("\\", from, true)
    if not slash then break end
    out[#out + 1] = text:sub(from, slash - 1)
    local letter = text:sub(slash + 1, slash + 1)
    if letter == "u" then
      local code = tonumber(text:match("^%x%x%x%x", slash + 2) or fail(at, "a bad \\u escape"), 16)
      from = slash + 6
      if code >= 0xD800 and code <= 0xDBFF then
        local low = tonumber(text:match("^\\u([dD][c-fC-F]%x%x)", from) or fail(at, "half a surrogate pair"), 16)
        code, from = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), from + 6
      elseif code >= 0xDC00 and code <= 0xDFFF then
        fail(at, "half a surrogate pair")
      end
      out[#out + 1] = utf8.char(code)
    else
      out[#out + 1] = ESCAPES[letter] or fail(at, "a bad escape")
      from = slash + 2
    end
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

local function read_string(text, at)
  local from = at + 1
  local last = from
  while true do
    local stop = text:find('["\\%c]', last)
    if not stop then fail(at, "a text is not closed") end
    local char = text:byte(stop)
    if char == 34 then
      local raw = text:sub(from, stop - 1)
      return raw:find("\\", 1, true) and unescape(raw, at) or raw, stop + 1
    elseif char == 92 then
      last = stop + 2
    elseif char == 127 then
      last = stop + 1
    else
      fail(stop, "a control character inside a text")
    end
  end
end

local read

local function skip(text, at) return text:find("[^ \t\r\n]", at) or #text + 1 end

local function read_array(text, at)
  local out, n = array {}, 0
  at = skip(text, at + 1)
  if text:byte(at) == 93 then return out, at + 1 end
  while true do
    n = n + 1
    out[n], at = read(text, at)
    at = skip(text, at)
    local char = text:byte(at)
    if char == 93 then return out, at + 1 end
    if char ~= 44 then fail(at, "expected , or ]") end
    at = skip(text, at + 1)
  end
end

local function read_object(text, at)
  local out = {}
  at = skip(text, at + 1)
  if text:byte(at) == 125 then return out, at + 1 end
  while true do
    if text:byte(at) ~= 34 then fail(at, "expected a key") end
    local where = at
    local key
    key, at = read_string(text, at)
    if out[key] ~= nil then fail(where, ("the key %q stands there twice"):format(key)) end
    at = skip(text, at)
    if text:byte(at) ~= 58 then fail(at, "expected :") end
    out[key], at = read(text, skip(text, at + 1))
    at = skip(text, at)
    local char = text:byte(at)
    if char == 125 then return out, at + 1 end
    if char ~= 44 then fail(at, "expected , or }") end
    at = skip(text, at + 1)
  end
end

local WORDS = { ["true"] = true, ["false"] = false, null = M.null }

function read(text, at)
  local char = text:byte(at)
  if char == 34 then return read_string(text, at) end
  if char == 123 then return read_object(text, at) end
  if char == 91 then return read_array(text, at) end
  local number = text:match("^%-?%d+%.?%d*[eE]?[+-]?%d*", at)
  if number then
    local value = tonumber(number)
    local digits = number:match("^%-?(%d+)")
    if not value or number:find("%.$") or number:find("%.[eE]") or digits:find("^0%d") then fail(at, "a bad number") end
    return value, at + #number
  end
  local word = text:match("^%a+", at)
  if word and WORDS[word] ~= nil then return WORDS[word], at + #word end
  fail(at, char and "expected a value" or "the text ends in the middle")
end

---@param text string
---@return any value, table|nil problem { at = byte, message = text }
function M.decode(text)
  local ok, value, at = pcall(read, text, skip(text, 1))
  if not ok then
    if type(value) == "table" and value.at then return nil, value end
    if tostring(value):find("stack overflow", 1, true) then return nil, { at = 1, message = "nested too deeply" } end
    error(value, 0)
  end
  at = skip(text, at)
  if at <= #text then return nil, { at = at, message = "something stands behind the value" } end
  return value
end

---A number in the fewest digits that give it back.
---@param value number
---@return string
function M.number(value)
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if value ~= value then return "NaN" end
  if value == math.huge then return "Infinity" end
  if value == -math.huge then return "-Infinity" end
  for digits = 15, 17 do
    local text = ("%%.%dg"):format(digits):format(value)
    if tonumber(text) == value then return text end
  end
end

local QUOTED = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t" }

local function quote(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return QUOTED[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

---@param value any
---@return string
function M.encode(value)
  local kind = type(value)
  if value == M.null then return "null" end
  if kind == "string" then return quote(value) end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then
    local text = M.number(value)
    if text:find("^-?[IN]") then error(text .. " cannot be written as JSON", 0) end
    return text
  end
  if kind ~= "table" then error("a " .. kind .. " cannot be written as JSON", 0) end
  local out = {}
  if getmetatable(value) == ARRAY or #value > 0 then
    for i, item in ipairs(value) do out[i] = M.encode(item) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  for i, key in ipairs(keys) do out[i] = quote(key) .. ":" .. M.encode(value[key]) end
  return "{" .. table.concat(out, ",") .. "}"
end

return M
