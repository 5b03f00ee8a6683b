-- Secrets out of text. Every sink passes what it writes through here.
local base64 = require "migrator.lib.base64"

local M = {}

local MINIMUM = 6
local STARS = "***"

local known, ordered = {}, nil

local function percent_encode(text, lower)
  local form = lower and "%%%02x" or "%%%02X"
  return (text:gsub("[^%w%-%._~]", function(c) return form:format(c:byte()) end))
end

local function percent_decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function json_escape(text)
  return (text:gsub('[\\"]', "\\%0"):gsub("\n", "\\n"):gsub("\r", "\\r"):gsub("\t", "\\t"))
end

-- What Base64 makes of a text that stands at any place in something longer ("Basic" of user and password): of the three
-- places in a group of three bytes, the letters that only the text itself decides.
local function encoded_forms(text)
  local out = { base64.encode(text), (base64.encode(text):gsub("=+$", "")), base64.encode_url(text) }
  for shift = 0, 2 do
    local encoded = base64.encode(("\0"):rep(shift) .. text)
    out[#out + 1] = encoded:sub((shift * 8 + 5) // 6 + 1, (shift + #text) * 8 // 6)
  end
  return out
end

-- The forms in which a secret turns up: as it is, in a URL (either case of the digits), in JSON, in a Basic header.
local function forms_of(text, visit)
  visit(text)
  visit(percent_encode(text))
  visit(percent_encode(text, true))
  visit(percent_decode(text))
  visit(json_escape(text))
  for _, form in ipairs(encoded_forms(text)) do visit(form) end
end

---Every form of a secret that is worth hiding, each of its lines included; none shorter than six characters.
---@param secret string
---@return string[]
function M.forms(secret)
  local out, seen = {}, {}
  local function visit(text)
    if #text >= MINIMUM and not seen[text] then
      seen[text] = true
      out[#out + 1] = text
    end
  end
  forms_of(secret, visit)
  for line in secret:gmatch("[^\r\n]+") do
    forms_of(line, visit)
    forms_of(line:match("^%s*(.-)%s*$"), visit)
  end
  return out
end

---Remembers a secret. Anything shorter than six characters is left alone: hiding it would hide half of every text.
---A short password still never prints, because `url.redact` takes it out by its place.
---@param secret string?
function M.add(secret)
  if type(secret) ~= "string" or secret == "" then return end
  ordered = nil
  for _, form in ipairs(M.forms(secret)) do known[form] = true end
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
