---Waiting for something to become so; never for an amount of time.
local clock = require "migrator.core.clock"

local M = {}

---Asks until the answer is true, and gives it back.
---@param fn fun(): any
---@param seconds? number 5
function M.till(fn, seconds)
  local deadline = clock.deadline(seconds or 5)
  repeat
    local value = fn()
    if value then return value end
    clock.sleep(0.01)
  until clock.now() > deadline
  error(("not so after %g s"):format(seconds or 5), 2)
end

return M
