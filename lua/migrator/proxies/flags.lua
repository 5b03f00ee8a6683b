---Flags of a command line, as `--flag value`, `--flag=value` or `-flag=value`.
local M = {}

local WILDCARDS = { ["0.0.0.0"] = true, ["::"] = true, ["[::]"] = true, ["*"] = true, ["0"] = true }

---@return boolean
function M.is_wildcard(address) return WILDCARDS[address or ""] == true end

---@param cmd string[]
---@param ... string
---@return boolean
function M.find(cmd, ...)
  for _, name in ipairs { ... } do
    for i = 2, #cmd do
      local word = tostring(cmd[i])
      if word == name or word:sub(1, #name + 1) == name .. "=" then return not word:find("=false$") end
    end
  end
  return false
end

---The value of the first of these flags that is there, the last time it is.
---@param cmd string[]
---@param ... string
---@return string?
function M.value(cmd, ...)
  local value
  for _, name in ipairs { ... } do
    for i = 2, #cmd do
      local word = tostring(cmd[i])
      if word == name then value = cmd[i + 1] and tostring(cmd[i + 1]) end
      if word:sub(1, #name + 1) == name .. "=" then value = word:sub(#name + 2) end
    end
  end
  return value
end

---The finding that all of them share.
function M.wildcard(add)
  add("wildcard_address", "error", "it would listen on every address of this machine, not on this machine's own",
    "listen on 127.0.0.1")
end

return M
