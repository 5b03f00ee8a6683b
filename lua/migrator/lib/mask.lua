---Secrets out of text. Every sink passes what it writes through here.
---A secret is hidden as it is, line by line, and in each form in which programs repeat it. One of fewer than four
---characters is not: half of every text would go with it. One of four or five is hidden where it is a word of its own.
---Of a long one without blanks, a piece of two dozen characters is hidden as well, since servers cut what they quote.
local base64 = require "migrator.lib.base64"

local M = {}

M.SHORTEST = 4

local GLUED = 6 -- from this length on also inside of a word
local PIECE, RUN = 12, 24
local STARS = "***"

local added = {} -- the forms of each secret
local known, ordered = {}, nil -- of the text of a form: whether it counts only as a word of its own
local pieces, has_pieces = {}, false

local BYTES = {} -- of a format: each byte in it; a table is what gsub is quick with

local function encode_bytes(text, set, form)
  local map = BYTES[form]
  if not map then
    map = {}
    for byte = 0, 255 do map[string.char(byte)] = form:format(byte) end
    BYTES[form] = map
  end
  return (text:gsub(set, map))
end

local function percent_decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local JSON = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\b"] = "\\b",
  ["\f"] = "\\f" }

local function json_escape(text)
  return (text:gsub('[%c"\\]', function(c) return JSON[c] or ("\\u%04x"):format(c:byte()) end))
end

local function utf16(code)
  if code < 0x10000 then return ("\\u%04x"):format(code) end
  return ("\\u%04x\\u%04x"):format(0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF))
end

-- As Python and PHP write JSON: nothing but ASCII.
local function json_ascii(text)
  if not utf8.len(text) then return text end
  return (json_escape(text):gsub(utf8.charpattern, function(c) return #c > 1 and utf16(utf8.codepoint(c)) or c end))
end

local HTML = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;" }

-- What becomes of a text where programs repeat it; of a plain word, always the word itself.
local FORMS = {
  function(text) return encode_bytes(text, "[^%w%-%._~]", "%%%02X") end,
  function(text) return encode_bytes(text, "[^%w%-%._~]", "%%%02x") end,
  function(text) return (encode_bytes(text, "[^%w%-%._~ ]", "%%%02X"):gsub(" ", "+")) end,
  percent_decode,
  json_escape,
  json_ascii,
  function(text) return encode_bytes(json_escape(text), "[<>&]", "\\u%04x") end, -- Go's JSON
  function(text) return (json_escape(text):gsub("/", "\\/")) end,
  function(text) return (text:gsub("['\\]", "\\%0")) end, -- a conninfo string
  function(text) return (text:gsub("'", "''")) end, -- SQL
  function(text) return (text:gsub("'", "'\\''")) end, -- a shell
  function(text) return (text:gsub("%%", "%%25"):gsub("\r", "%%0D"):gsub("\n", "%%0A")) end, -- a workflow command
  function(text) return (text:gsub("[|<>`*_\\]", "\\%0")) end, -- Markdown
  function(text) return (text:gsub("[&<>\"']", HTML)) end,
  function(text) return (text:gsub("[&<>\"']", HTML):gsub("&apos;", "&#39;"):gsub("&quot;", "&#34;")) end,
  function(text) return encode_bytes(text, ".", "%02x") end, -- bytea
}

-- What Base64 makes of a text that stands at any place in something longer ("Basic" of user and password): of the three
-- places in a group of three bytes, the letters that only the text itself decides.
local function base64_forms(text, visit)
  local whole = base64.encode(text)
  visit(whole)
  visit((whole:gsub("=+$", "")))
  visit((base64.encode_url(text)))
  for shift = 0, 2 do
    local encoded = base64.encode(("\0"):rep(shift) .. text)
    local part = encoded:sub((shift * 8 + 5) // 6 + 1, (shift + #text) * 8 // 6)
    visit(part)
    visit((part:gsub("+", "-"):gsub("/", "_")))
  end
end

local function visit_forms(text, visit)
  if #text < M.SHORTEST or not text:find("%S") then return end
  visit(text, #text < GLUED)
  for _, form in ipairs(FORMS) do
    local made = form(text)
    if made ~= text then visit(made, #made < GLUED) end
  end
  base64_forms(text, visit)
end

local function each_form(secret, visit)
  visit_forms(secret, visit)
  if not secret:find("[\r\n]") then return end
  for line in secret:gmatch("[^\r\n]+") do
    -- A line of a key file may be a bracket, or a word that is everywhere.
    if #line >= GLUED then visit_forms(line, visit) end
    local inner = line:match("^%s*(.-)%s*$")
    if #inner >= GLUED and inner ~= line then visit_forms(inner, visit) end
  end
end

local function add_run(run)
  if #run < RUN then return end
  has_pieces = true
  for at = 1, #run - PIECE + 1, PIECE do
    local piece = run:sub(at, at + PIECE - 1)
    pieces[piece] = pieces[piece] or { run = run, at = at }
  end
end

-- Not of a URL or of a file's text: pieces of those are names that are no secret.
local function add_pieces(secret)
  if not secret:find("[%s{]") and not secret:find("://", 1, true) then return add_run(secret) end
  for run in secret:gmatch("[%w+/=_-]+") do
    if #run >= 32 then add_run(run) end
  end
end

local function remember(secret)
  local forms, seen = {}, {}
  each_form(secret, function(text, alone)
    if #text < M.SHORTEST then return end
    if not seen[text] then forms[#forms + 1] = text end
    seen[text] = true
    known[text] = alone and known[text] ~= false or false
  end)
  add_pieces(secret)
  added[secret], ordered = forms, nil
end

---Remembers a secret.
---@param secret string?
---@return string[] forms each one that is hidden from now on, those of its lines included
function M.add(secret)
  if type(secret) ~= "string" then return {} end
  if not added[secret] then remember(secret) end
  return added[secret]
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

-- The letter of an escape (`\n`, `%0A`) before it is no part of the word.
local function stands_alone(text, from, to)
  if text:find("^[%w_]", from) then
    local before = text:sub(math.max(1, from - 3), from - 1)
    if before:find("[%w_]$") and not before:find("\\%a$") and not before:find("%%%x%x$") then return false end
  end
  return not (text:find("^[%w_]", to) and text:find("^[%w_]", to + 1))
end

local function replace(text, secret, alone)
  local at = text:find(secret, 1, true)
  if not at then return text end
  local out, from = {}, 1
  while at do
    local to = at + #secret - 1
    if not alone or stands_alone(text, at, to) then
      out[#out + 1] = text:sub(from, at - 1) .. STARS
      from = to + 1
    end
    at = text:find(secret, to + 1, true)
  end
  return table.concat(out) .. text:sub(from)
end

-- How far text and run agree around the piece that both have at these places.
local function extent(text, at, run, place, least)
  local from, to, back, on = at, at + PIECE - 1, place, place + PIECE - 1
  while from > least and back > 1 and text:byte(from - 1) == run:byte(back - 1) do from, back = from - 1, back - 1 end
  while to < #text and on < #run and text:byte(to + 1) == run:byte(on + 1) do to, on = to + 1, on + 1 end
  return from, to
end

local function replace_pieces(text)
  local out, from, at = {}, 1, 1
  while at <= #text - PIECE + 1 do
    local found = pieces[text:sub(at, at + PIECE - 1)]
    if found then
      local first, last = extent(text, at, found.run, found.at, from)
      out[#out + 1] = text:sub(from, first - 1) .. STARS
      from, at = last + 1, last + 1
    else
      at = at + 1
    end
  end
  return #out > 0 and table.concat(out) .. text:sub(from) or text
end

---The text with every remembered secret replaced by `***`.
---@param text string
---@return string
function M.apply(text)
  for _, secret in ipairs(in_order()) do
    if #secret <= #text then text = replace(text, secret, known[secret]) end
  end
  return has_pieces and replace_pieces(text) or text
end

---Forgets every secret; for a host that runs several times in one process.
function M.clear()
  added, known, ordered, pieces, has_pieces = {}, {}, nil, {}, false
end

return M
