---@meta migrator.core.db

---libpq as it is, for migrator's own code; scripts use `db`.
---@class migrator.core.db
---@field null lightuserdata NULL
---@field conn table the methods of a session, for lua/migrator/db.lua to add its own
local core = {}

---Opens a session.
---Raises `connect`, `timeout`, `interrupted`.
---@param keywords table<string, string> for libpq
---@param deadline? number
---@return migrator.Conn
function core.open(keywords, deadline) end

---Asks whether a server takes connections.
---@param keywords table<string, string>
---@return "accepting"|"rejecting"|"no answer"|"bad parameters"
function core.ping(keywords) end

---Takes a conninfo text apart. Why it cannot be is not said: the reason may quote a password.
---@param text string
---@return table<string, string>? keywords
function core.parse_conninfo(text) end

---Returns the key words that this libpq knows.
---@return string[]
function core.keywords() end

return core
