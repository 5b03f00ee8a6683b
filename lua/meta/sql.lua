---@meta migrator.core.sql

---SQL text: into statements, into trees, and places in it.
---@class migrator.sql
local sql = {}

---One statement of a text.
---@class (exact) migrator.Statement
---@field text string what to send, without the semicolon
---@field offset integer byte of its first token; comments before it are left out
---@field line integer line of its first token
---@field words string up to 12 leading words, upper-cased; a quoted identifier is `"`, any other token ends them

---The first thing in a text that psql would not simply send.
---@class (exact) migrator.SplitProblem
---@field kind "quote"|"dollar quote"|"comment"|"parenthesis"|"body"|"meta-command"
---@field line integer
---@field offset integer byte where it begins

---@class (exact) migrator.Statements
---@field [integer] migrator.Statement
---@field problem? migrator.SplitProblem

---Cuts a text into statements by psql's lexical rules; never fails, whatever the bytes.
---Every kind of problem but `meta-command` is something never closed, `body` a BEGIN ATOMIC without its END: it
---reaches to the end of the text.
---```lua
---local text = "create index concurrently i on t (a); -- done"
---local statements = sql.split(text)
---print(#statements, statements[1].words) --> 1  CREATE INDEX CONCURRENTLY I ON T
---```
---@param text string
---@return migrator.Statements
function sql.split(text) end

---Parses a text with PostgreSQL 15's grammar and returns all its trees as JSON.
---A refusal is an answer: newer syntax is refused as well. Objects nest as deep as the text does.
---```lua
---local json, message, position = sql.parse_json("select 1 frm t x")
---if not json then print(message, position) end
---```
---@param text string at most 16 MiB, no NUL
---@return string? json
---@return string? message
---@return integer? position in characters, from 1
function sql.parse_json(text) end

---Returns 16 hexadecimal digits that are the same for statements differing in constants and layout only.
---```lua
---assert(sql.fingerprint("select 1") == sql.fingerprint("SELECT  2"))
---```
---@param text string at most 16 MiB, no NUL
---@return string? fingerprint
---@return string? message
---@return integer? position in characters, from 1
function sql.fingerprint(text) end

---Returns the line and the column, in characters, of a byte.
---```lua
---print(sql.position("a\né b", 5)) --> 2  2
---```
---@param text string
---@param offset integer byte, from 1; `#text + 1` is the end
---@return integer line
---@return integer column
function sql.position(text, offset) end

---Returns the byte offset of the n-th character at or behind a byte, for positions as the server counts them.
---A byte that is no valid UTF-8 is one character; past the end it is `#text + 1`.
---```lua
---print(sql.char_offset("select 'é', x", 1, 13)) --> 14
---```
---@param text string
---@param first_byte integer where character 1 begins
---@param characters integer from 1
---@return integer offset
function sql.char_offset(text, first_byte, characters) end

---Decodes UTF-8 as browsers and Node.js do: each invalid sequence becomes one U+FFFD. A byte order mark stays.
---```lua
---local text, changed = sql.decode_utf8("caf\xE9")
---assert(changed and text == "caf\u{FFFD}")
---```
---@param bytes string
---@return string text the same string when nothing had to change
---@return boolean changed
function sql.decode_utf8(bytes) end

---Returns the name as a quoted identifier.
---```lua
---assert(sql.quote_ident('a"b') == '"a""b"')
---```
---@param name string not empty, no NUL
---@return string
function sql.quote_ident(name) end

---Returns the text as a literal, an E'' one when there are backslashes.
---```lua
---assert(sql.quote_literal("it's") == "'it''s'")
---```
---@param text string no NUL
---@return string
function sql.quote_literal(text) end

return sql
