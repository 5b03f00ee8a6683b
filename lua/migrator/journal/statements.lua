---A migration's text -> its statements. Drizzle cuts at a marker, anywhere and without looking at the SQL; each piece
---is then split as psql would.
local errors = require "migrator.error"
local sql = require "migrator.core.sql"

local M = {}

local MARKER = "--> statement-breakpoint"
local BOM = "\u{FEFF}"

---@class migrator.Statement
---@field text string what is sent
---@field offset integer byte of its first character in the file, from 1
---@field line integer
---@field words string its leading key words, upper case
---@field piece integer number of Drizzle's piece it is in, from 1

local WHY = {
  quote = "a quote is not closed", ["dollar quote"] = "a dollar quote is not closed",
  comment = "a comment is not closed", body = "BEGIN ATOMIC without its END",
    parenthesis = "a parenthesis is not closed",
  ["meta-command"] = "psql's meta-commands are not SQL",
}
local HINT = {
  ["meta-command"] = "a migration is sent to the server, not to psql: write the SQL that the command stands for",
}

local function refuse_problem(entry, problem, text, first)
  local at = first + problem.offset - 1
  local line, column = sql.position(text, at)
  local is_copy = text:sub(at, at + 1) == "\\."
  errors.raise("parse", {
    message = is_copy and "COPY FROM STDIN with its rows is for psql, not for a server" or WHY[problem.kind]
      or problem.kind, file = entry.path, line = line, column = column, migration = entry.tag,
    snippet = M.line_at(text, line),
    hint = is_copy and "write INSERT statements, or load the data with a seed" or HINT[problem.kind]
      or "Drizzle cuts the file at every `" .. MARKER .. "`, also inside quotes and comments",
  })
end

---@param text string
---@param number integer
---@return string
function M.line_at(text, number)
  local at = 1
  for _ = 2, number do
    local newline = text:find("\n", at, true)
    if not newline then return "" end
    at = newline + 1
  end
  return (text:sub(at, (text:find("\n", at, true) or #text + 1) - 1):gsub("\r$", ""))
end

local function add_piece(out, entry, text, first, last, number)
  local piece = text:sub(first, last)
  local found = sql.split(piece)
  if found.problem then refuse_problem(entry, found.problem, text, first) end
  for _, item in ipairs(found) do
    item.offset, item.line, item.piece = first + item.offset - 1, out.line + item.line - 1, number
    out[#out + 1] = item
  end
  out.line = out.line + sql.position(piece, #piece + 1) - 1
end

---@param entry migrator.Entry
---@return migrator.Statement[] fields: `source`, the whole text
function M.read(entry)
  local text = entry:text()
  local out = { source = text, line = 1 }
  local first, number = text:sub(1, #BOM) == BOM and #BOM + 1 or 1, 1
  while true do
    local from, to = text:find(MARKER, first, true)
    add_piece(out, entry, text, first, from and from - 1 or #text, number)
    if not from then return out end
    first, number = to + 1, number + 1
  end
end

---Where a character of a statement is in its file. PostgreSQL counts characters, from 1.
---@param source string the file's text
---@param statement migrator.Statement
---@param position integer
---@return integer line, integer column
function M.locate(source, statement, position)
  return sql.position(source, sql.char_offset(source, statement.offset, position))
end

return M
