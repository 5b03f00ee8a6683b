---Modules that a run may do without, loaded when something of theirs is first asked for: a run with nothing to do is
---mostly start-up.
local M = {}

---@param name string
---@return table module stands for the module; only its fields can be read
function M.require(name)
  return setmetatable({}, { __index = function(_, key) return require(name)[key] end,
    __newindex = function() error("a lazy module is read-only: " .. name, 2) end })
end

return M
