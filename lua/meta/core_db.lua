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

---Opens a session on a thread of its own, and asks it the questions, in one flight, each a section of its own.
---Raises `internal`.
---@param keywords table<string, string> for libpq
---@param deadline? number
---@param questions? { oldest?: integer } at most four texts; $1 of the first is the backend's pid as libpq knows it;
---  oldest: the version_number from which on a server is asked
---@param patience? number the answers' deadline
---@return migrator.Later
function core.open_later(keywords, deadline, questions, patience) end

---A session that is being opened.
---@class migrator.Later
local Later = {}

---Waits for the session and the answers. Once.
---Raises `connect`, `timeout`, `interrupted`.
---@return migrator.Conn
---@return migrator.Answers
function Later:take() end

---Is it open, or has it failed? Then the answers are not far.
---@return boolean
function Later:is_due() end

---Does without it.
function Later:close() end

---Answers that have come.
---@class migrator.Answers
local Answers = {}

---Returns what the same method of a batch does: the next answer, or "sync" behind each.
---Raises `sql`.
---@return table|string|nil
function Answers:next() end

---Drops the rest.
function Answers:close() end

---Finds the record of a CSV file that the server calls line `line`, or the row-th.
---@param path string
---@param header boolean the first record is no row
---@param line? integer as in "COPY t, line 3"
---@param row? integer
---@return integer? row from 1; the header is 0
---@return integer? line where the record begins
function core.locate_csv(path, header, line, row) end

---Takes a conninfo text apart. Why it cannot be is not said: the reason may quote a password.
---@param text string
---@return table<string, string>? keywords
function core.parse_conninfo(text) end

---Returns the key words that this libpq knows.
---@return string[]
function core.keywords() end

return core, { ["migrator.later"] = Later, ["migrator.answers"] = Answers }
