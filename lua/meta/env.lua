---@meta migrator.env

---The environment, with what the .env file adds. Any variable is a field: `env.CI`. Read-only.
---@class migrator.env
---@field [string] string?
local env = {}

---Returns a variable, or a default.
---@param name string
---@param default? string
---@return string?
function env.get(name, default) end

---Returns a variable that must be there.
---Raises `config` when it is not set, or empty.
---```lua
---local replica = env.require "REPLICA_URL"
---```
---@param name string
---@return string
function env.require(name) end

---Adds the variables of a .env file; what is set already stays.
---Raises `config` naming file and line when it cannot be read.
---@param path string
---@return boolean loaded false when there is no such file
function env.load_if_exists(path) end

return env
