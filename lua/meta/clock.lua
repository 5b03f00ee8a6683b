---@meta migrator.core.clock

---Time. A deadline is an instant of `clock.now`, so it does not move when work is tried again.
---@class migrator.clock
local clock = {}

---Returns seconds that only ever rise; no date.
---@return number
function clock.now() end

---Returns milliseconds since 1970, what a journal calls `when`.
---@return integer
function clock.wall() end

---Returns the instant that is some seconds away.
---```lua
---local conn <close> = db.connect(target, { deadline = clock.deadline(30) })
---```
---@param seconds number
---@return number
function clock.deadline(seconds) end

---Sleeps, until a deadline at most.
---Raises `interrupted` at once when a signal comes.
---@param seconds number
---@param deadline? number
---@return boolean slept false when the deadline cut it short
function clock.sleep(seconds, deadline) end

return clock
