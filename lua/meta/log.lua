---@meta migrator.log

---Lines for people, on standard error; secrets are hidden. With arguments the first one is a format.
---@class migrator.log
local log = {}

---Says something that only --verbose shows.
---@param format string
---@param ... any
function log.debug(format, ...) end

---Says what goes on.
---```lua
---log.info("%d tenants", #tenants)
---```
---@param format string
---@param ... any
function log.info(format, ...) end

---Says what is worth a look.
---@param format string
---@param ... any
function log.notice(format, ...) end

---Warns.
---@param format string
---@param ... any
function log.warning(format, ...) end

---Warns; another name of `log.warning`.
---@param format string
---@param ... any
function log.warn(format, ...) end

---Says that something is wrong. Nothing stops; `error` does that.
---@param format string
---@param ... any
function log.error(format, ...) end

---Writes a line of the result, to standard output.
---@param text any
function log.print(text) end

return log
