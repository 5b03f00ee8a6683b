---@meta migrator.core.host

---The process we are in, for migrator's own code; scripts do not see it.
---@class migrator.core.host
---@field version string
local host = {}

---Returns the environment.
---@return table<string, string>
function host.environment() end

---Sets a variable for programs that we start.
---@param name string
---@param value? string nil removes it
function host.setenv(name, value) end

---Returns the width of a terminal.
---@param stream "stdin"|"stdout"|"stderr"
---@return integer? columns nil when it is none
function host.terminal(stream) end

---Writes and flushes.
---@param stream "stdout"|"stderr"
---@param text string
---@return boolean written false: a full disk, or a reader that went away
function host.write(stream, text) end

---Returns a file that is inside the binary.
---@param path string
---@return string? text
function host.file(path) end

---Returns the paths of the files inside the binary.
---@return string[]
function host.files() end

---Calls a function as pcall does while only some allocations succeed, for specs.
---@param allocations integer how many succeed; all later ones fail
---@param fn fun()
---@return boolean ok
---@return any err
function host.fail_alloc(allocations, fn) end

---Stops Lua code that still runs at a deadline with a `script` error, and whatever waits then with a `timeout`.
---@param deadline? number nil lifts it
function host.limit(deadline) end

---Returns how many boxes are not collected yet, for specs.
---@return integer
function host.live_boxes() end

---Returns the signal that interrupted us.
---@return integer? number
function host.signal() end

---Returns the path of the program.
---@return string?
function host.program() end

---Keeps our memory out of core dumps, and from everybody but root. Programs that we start are as ever.
function host.seal() end

return host
