---Tables of names for scripts: one that is not there is an error, not a nil that fails somewhere else.
local blame = require "migrator.lib.blame"
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

---@generic T: table
---@param label string
---@param names T
---@return T names
return function(label, names)
  return setmetatable(names, { __index = function(self, key)
    if type(key) ~= "string" then return nil end
    local list = {}
    for name in pairs(self) do list[#list + 1] = name end
    table.sort(list)
    local near = suggest.nearest(key, list)
    local file, line = blame.find(2)
    errors.raise("script", { file = file, line = line, message = ("there is no %s.%s"):format(label, key),
      hint = near and ("did you mean %s.%s?"):format(label, near) or "there is: " .. table.concat(list, ", ") })
  end })
end
