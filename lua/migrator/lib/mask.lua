-- Secrets out of text. Every sink passes what it writes through here.
local M = {}

local MINIMUM = 6
local STARS = "***"
local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local known, ordered = {}, nil

local function percent_encode(text, lower)
  local form = lower and "%%%02x" or "%%%02X"
  return (text:gsub("[^%w%-%._~]", function(c) return form:format(c:byte()) end))
end

local function percent_decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for shift = 18, 0, -6 do
      local index = (n >> shift) & 63
      out[#out + 1] = ALPHABET:sub(index + 1, index + 1)
    end
    if not c then out[#out] = "=" end
    if not b then out[#out - 1] = "=" end
  end
  return table.concat(out)
end

local function json_escape(text)
  return (text:gsub('[\\"]', "\\%0"):gsub("\n", "\\n"):gsub("\r", "\\r"):gsub("\t", "\\t"))
end

local function remember(text)
  if #text >= MINIMUM then known[text] = true end
end

-- The forms in which a secret turns up: as it is, in a URL (either case of the digits), in JSON, in a Basic header.
local function remember_forms(text)
  remember(text)
  remember(percent_encode(text))
  remember(percent_encode(text, true))
  remember(percent_decode(text))
  remember(json_escape(text))
  local encoded = base64(text)
  remember(encoded)
  remember((encoded:gsub("=+$", "")))
  remember((encoded:gsub("=+$", ""):gsub("%+", "-"):gsub("/", "_")))
end

---Remembers a secret. Anything shorter than six characters is left alone: hiding it would hide half of every text.
---A short password still never prints, because `url.redact` takes it out by its place.
---@param secret string?
function M.add(secret)
  if type(secret) ~= "string" or secret == "" then return end
  ordered = nil
  remember_forms(secret)
  for line in secret:gmatch("[^\r\n]+") do
    remember_forms(line)
    local trimmed = line:match("^%s*(.-)%s*$")
    if trimmed ~= line then remember_forms(trimmed) end
  end
end

-- Longest first, so that a secret is not left half visible because a part of it was replaced before.
local function in_order()
  if ordered then return ordered end
  ordered = {}
  for text in pairs(known) do ordered[#ordered + 1] = text end
  table.sort(ordered, function(a, b)
    if #a ~= #b then return #a > #b end
    return a < b
  end)
  return ordered
end

local function replace(text, secret)
  local at = text:find(secret, 1, true)
  if not at then return text end
  local out, from = {}, 1
  while at do
    out[#out + 1] = text:sub(from, at - 1)
    from = at + #secret
    at = text:find(secret, from, true)
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out, STARS)
end

---The text with every remembered secret replaced by `***`.
---@param text string
---@return string
function M.apply(text)
  for _, secret in ipairs(in_order()) do
    text = replace(text, secret)
  end
  return text
end

---Forgets every secret; for a host that runs several times in one process.
function M.clear()
  known, ordered = {}, nil
end

return M
