-- The characters of connection URLs: encoding, loopback names, and passwords out of foreign text.
local errors = require "migrator.error"

local M = {}

---@param text string
---@return string
function M.encode(text)
  return (text:gsub("[^%w%-%._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

---Raises `config` for a broken or a forbidden (%00) sequence; the message never holds the text.
---@param text string
---@param part string what is being decoded, for the message
---@return string
function M.decode(text, part)
  local out, at = {}, 1
  while true do
    local stop = text:find("%", at, true)
    out[#out + 1] = text:sub(at, (stop or 0) - 1)
    if not stop then return table.concat(out) end
    local hex = text:match("^%x%x", stop + 1)
    if not hex then
      errors.raise("config", {
        message = "bad connection URL: invalid percent-encoding in the " .. part,
        hint = "a literal % in a user, password or name is written %25",
      })
    end
    if hex == "00" then
      errors.raise("config", { message = "bad connection URL: forbidden %00 in the " .. part })
    end
    out[#out + 1] = string.char(tonumber(hex, 16))
    at = stop + 3
  end
end

---Whether a host is this machine: a loopback address or name, or the folder of a unix socket.
---@param host string?
---@return boolean
function M.is_loopback(host)
  if type(host) ~= "string" or host == "" then return false end
  if host:find("^[/@]") then return true end
  local name = host:lower()
  if name == "localhost" or name == "localhost." or name == "::1" or name == "0:0:0:0:0:0:0:1" then return true end
  local b, c, d = name:match("^127%.(%d+)%.(%d+)%.(%d+)$")
  if not b then b, c, d = name:match("^::ffff:127%.(%d+)%.(%d+)%.(%d+)$") end
  return b ~= nil and tonumber(b) < 256 and tonumber(c) < 256 and tonumber(d) < 256
end

local STARS = "***"
local WORDS = { "password", "passwd", "pass", "access_token", "token", "api_key", "apikey", "secret" }

local function any_case(word)
  return (word:gsub("%a", function(c) return "[" .. c:lower() .. c:upper() .. "]" end))
end

local function redact_pairs(text)
  for _, word in ipairs(WORDS) do
    local key = "(" .. any_case(word) .. "%s*=%s*)"
    text = text:gsub(key .. "'([^'\\]*)'", "%1" .. STARS)
    -- A quoted value with escapes: walked by hand, because a pattern cannot skip \'.
    local from = 1
    while true do
      local first, last = text:find(any_case(word) .. "%s*=%s*'", from)
      if not first then break end
      local stop = last + 1
      while stop <= #text and text:sub(stop, stop) ~= "'" do
        stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
      end
      text = text:sub(1, last - 1) .. STARS .. text:sub(stop + 1)
      from = last
    end
    text = text:gsub(key .. "([^%s&'\"][^%s&]*)", function(lead, value)
      return value == STARS and lead .. value or lead .. STARS
    end)
  end
  return text
end

---The text with every password that stands in a URL or a key=value string replaced by `***`. It takes too much rather
---than too little: a password may itself hold `@`, `/` or a blank.
---@param text string
---@return string
function M.redact(text)
  text = text:gsub("(:/+[^%s:/?#@]*:)([^%s\"'<>]*)@", "%1" .. STARS .. "@")
  text = text:gsub("([pP][oO][sS][tT][gG][rR][eE][sS]%a*://[^%s:/?#@]*:)([^\n@]*)@", "%1" .. STARS .. "@")
  return redact_pairs(text)
end

return M
