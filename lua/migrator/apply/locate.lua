---Where in the repository an error of the server comes from: file, line, column and the line's text.
local errors = require "migrator.error"
local statements = require "migrator.journal.statements"

local M = {}

---@param err any
---@param entry migrator.Entry
---@param statement migrator.Statement|nil
---@param source string|nil the file's text
function M.annotate(err, entry, statement, source)
  if not errors.is(err) then return err end
  errors.add(err, { migration = entry.tag, file = entry.path })
  if statement and source and not err.line then
    local position = err.position and err.position > 0 and err.position or 1
    local line, column = statements.locate(source, statement, position)
    errors.add(err, { line = line, column = column, snippet = statements.line_at(source, line),
      statement = statement.text })
  end
  return err
end

return M
