---How long to wait for the run lock, and how often to look.
local M = {}

---@param seconds number
---@param every? number
function M.wait(seconds, every) return { timeout = seconds, every = every or 0.5 } end

M.fail = { timeout = 0, every = 0.5 }

return M
