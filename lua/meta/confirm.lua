---@meta migrator.confirm

---Questions before what cannot be undone.
---@class migrator.confirm
local confirm = {}

---Wants a phrase to be given exactly.
---Raises `usage` when it is not.
---```lua
---confirm.phrase("drop staging", arg[1])
---```
---@param expected string
---@param given? string
---@return true
function confirm.phrase(expected, given) end

return confirm
