-- Base64 and its variant for URLs (RFC 4648). Decoding takes either alphabet, with or without padding.
local M = {}

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local VALUE = { ["-"] = 62, ["_"] = 63 }
for i = 1, #ALPHABET do VALUE[ALPHABET:sub(i, i)] = i - 1 end

---@param bytes string
---@return string
function M.encode(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
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

---For URLs and tokens: `-` and `_`, no padding.
---@param bytes string
---@return string
function M.encode_url(bytes)
  return (M.encode(bytes):gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
end

---@param text string blanks and line ends are skipped
---@return string? bytes nil when it is not Base64
function M.decode(text)
  text = text:gsub("%s+", ""):gsub("=+$", "")
  if text:find("[^%w+/_-]") or #text % 4 == 1 then return nil end
  local out = {}
  for i = 1, #text, 4 do
    local n, count = 0, 0
    for k = i, i + 3 do
      local value = VALUE[text:sub(k, k)]
      n = (n << 6) | (value or 0)
      if value then count = count + 1 end
    end
    local three = string.char(n >> 16 & 255, n >> 8 & 255, n & 255)
    out[#out + 1] = three:sub(1, count - 1)
  end
  return table.concat(out)
end

return M
