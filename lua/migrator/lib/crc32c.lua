-- CRC-32C (Castagnoli): reflected, polynomial 0x82F63B78, all ones in and out. For payloads of some kilobytes.
local TABLE = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do c = (c >> 1) ~ (0x82F63B78 & -(c & 1)) end
  TABLE[i] = c & 0xFFFFFFFF
end

---@param bytes string
---@return integer
return function(bytes)
  local c = 0xFFFFFFFF
  for i = 1, #bytes do c = (c >> 8) ~ TABLE[(c ~ bytes:byte(i)) & 255] end
  return c ~ 0xFFFFFFFF
end
