---@meta migrator.journal

---The ordered migrations that the repository declares.
---@class migrator.journal
local journal = {}

---@class (exact) migrator.JournalOptions
---@field orphans? "forgotten"|"refuse"|"allow" files without an entry: refuse what looks forgotten (default), all, none
---@field now? integer milliseconds; a `when` beyond it is in the future

---@class migrator.Finding
---@field rule string
---@field severity "info"|"warning"|"error"
---@field message string
---@field file? string
---@field line? integer

---@class migrator.Journal
---@field dir string
---@field path string the journal's own file
---@field format "drizzle"
---@field entries migrator.Entry[] in the order in which they are applied
---@field findings migrator.Finding[]
local Journal = {}

---Adds a finding.
---@param rule string
---@param severity "info"|"warning"|"error"
---@param file string
---@param line integer?
---@param message string
function Journal:note(rule, severity, file, line, message) end

---@class migrator.Entry
---@field idx integer
---@field position integer place in the journal, from 1
---@field tag string
---@field when integer milliseconds, what the tracking table keeps as created_at
---@field hash string SHA-256 of the text, hexadecimal
---@field path string
---@field line? integer where the journal declares it
---@field size integer bytes
---@field replaced? boolean it is not valid UTF-8
local Entry = {}

---Returns what the hash is of: the file as UTF-8, invalid bytes replaced by U+FFFD.
---Raises `journal` if the file changed since it was read first.
---@return string
function Entry:text() end

---Returns the statements of the file.
---Raises `parse` naming file and line.
---@return migrator.JournalStatement[]
function Entry:statements() end

---@class migrator.JournalStatement
---@field text string what is sent
---@field offset integer byte of its first character in the file, from 1
---@field line integer
---@field words string its leading key words, upper case
---@field piece integer number of the part between two breakpoints, from 1

---Reads the journal and every file that it names.
---Raises `journal`, naming the file, the entry and the line.
---```lua
---for _, entry in ipairs(journal.load("migrations").entries) do
---  print(entry.idx, entry.tag, entry.hash)
---end
---```
---@param dir string
---@param options? migrator.JournalOptions
---@return migrator.Journal
function journal.load(dir, options) end

return journal, { ["migrator.Journal"] = Journal, ["migrator.Entry"] = Entry }
