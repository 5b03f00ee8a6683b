---@meta migrator.error

---What fails raises a table. Branch on `code` and `sqlstate`, never on the text.
---```lua
---local ok, err = pcall(db.exec, "insert into tags (name) values ($1)", "x")
---if not ok and err.sqlstate ~= "23505" then error(err, 0) end
---```
---@class migrator.Error
---@field code migrator.ErrorCode
---@field message string what failed and why, without a secret
---@field sqlstate? string five characters, from the server
---@field severity? string
---@field detail? string
---@field hint? string what to do
---@field context? string
---@field position? integer in characters from 1, within `statement`
---@field statement? string
---@field file? string
---@field line? integer
---@field column? integer in characters from 1
---@field migration? string tag
---@field step? string
---@field index? integer of the statement in a batch
---@field retry? boolean waiting may help
---@field signal? integer
---@field cause? any
---@field traceback? string
local Error = {}

---@alias migrator.ErrorCode
---| "sql" # the server refused a statement
---| "seed" # a seed tier could not do its work
---| "checksum" # an applied file was edited
---| "drift" # the tracking table and the journal do not fit
---| "verify" # the verification found an error
---| "lint" # a finding of severity error
---| "usage" # the command line
---| "config" # a setting, a URL, a file that is not there
---| "journal" # the journal or one of its files
---| "script" # a script, or a program that it starts
---| "parse" # SQL that cannot be split
---| "internal" # a defect of migrator
---| "connect" # no session, or a session that broke
---| "timeout" # a deadline passed
---| "proxy" # the proxy could not start, or ended
---| "http" # no answer to a request
---| "lock" # somebody else held a lock for too long
---| "interrupted" # a signal

return Error
