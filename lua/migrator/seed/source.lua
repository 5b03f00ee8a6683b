---Rows, whatever they come from (a list, an iterator, a file), as one thing: columns, then converted values one row
---after another.
local db = require "migrator.db"
local errors = require "migrator.error"
local readers = require "migrator.seed.readers"
local suggest = require "migrator.lib.suggest"
local values = require "migrator.seed.values"

local M = {}

---@class migrator.SeedSource
---@field columns string[]
---@field reader migrator.SeedReader|nil
---@field raw boolean the file can be sent as it is
---@field rows integer how many were given so far
---@field skipped integer rows that somebody took from the file before

local Source = {}
Source.__index = Source

local function list_columns(rows)
  local seen, out = {}, {}
  for _, row in ipairs(rows) do
    if type(row) ~= "table" then errors.raise("seed", "a row is a table") end
    for key in pairs(row) do
      if type(key) == "string" and not seen[key] then
        seen[key] = true
        out[#out + 1] = key
      end
    end
  end
  table.sort(out)
  return out
end

local function iterate(rows)
  if readers.is_reader(rows) then return function() return rows:next() end end
  if type(rows) == "function" then return rows end
  if type(rows) ~= "table" then
    errors.raise("seed", { message = "rows is a list, an iterator or a file (seed.csv, seed.jsonl), not a "
      .. type(rows) })
  end
  local i = 0
  return function()
    i = i + 1
    return rows[i]
  end
end

local function columns_of(self, rows)
  if self.reader and self.reader.header then return self.reader.header end
  if type(rows) == "table" and not self.reader then return list_columns(rows) end
  self.ahead = table.pack(self.iterate())
  return list_columns { self.ahead[1] }
end

---@param rows any
---@param columns? string[] default: the file's header, the keys of the rows; for an iterator, those of the first row
---@return migrator.SeedSource
function M.new(rows, columns)
  local self = setmetatable({ rows = 0, reader = readers.is_reader(rows) and rows or nil, iterate = iterate(rows) },
    Source)
  self.skipped = self.reader and self.reader.count or 0
  self.origin = self.reader and self.reader.origin or "lua"
  self.columns = columns or columns_of(self, rows)
  local header = self.reader and self.reader.format == "csv" and self.reader.count == 0 and self.reader.header
  self.raw = header and table.concat(header, "\0") == table.concat(self.columns, "\0") or false
  return self
end

---Can there be rows, or at least columns?
function Source:is_empty() return #self.columns == 0 and not (self.reader and self.reader.header) end

---Raises with the place of the row: file and line when it comes from a file.
function Source:fail(message, line, hint)
  local where = self.reader and {} or { row = self.rows }
  errors.raise("seed", { message = ("row %d: %s"):format(self.rows, message), file = self.reader and self.reader.path,
    line = line, hint = hint, row = where.row })
end

local function check_keys(self, row, line)
  for key in pairs(row) do
    if not self.known[key] then
      self:fail(("there is no column %q"):format(tostring(key)), line, suggest.hint(tostring(key), self.columns)
        or "columns: " .. table.concat(self.columns, ", "))
    end
  end
end

local function pick(self, row, i, name, line)
  local value
  if self.by_position then value = row[i] else value = row[name] end
  if value == nil and not self.by_position then
    self:fail(("column %q has no value"):format(name), line, "write null (seed.null) where none is meant")
  end
  return value
end

---The next row as it is given, and its line; nil at the end.
function Source:read()
  if not self.ahead then return self.iterate() end
  local row, line = self.ahead[1], self.ahead[2]
  self.ahead = nil
  return row, line
end

---A row's values in the order of the columns, converted.
---@param info migrator.SeedTable
---@return any[]
function Source:convert(row, line, info)
  self.rows = self.rows + 1
  if type(row) ~= "table" then self:fail("it is a " .. type(row) .. ", not a table", line) end
  if not self.known then
    self.known = {}
    for _, name in ipairs(self.columns) do self.known[name] = true end
  end
  self.by_position = row[1] ~= nil and not self.reader
  if self.by_position and #row > #self.columns then
    self:fail(("%d values for %d columns"):format(#row, #self.columns), line)
  elseif not self.by_position and not (self.reader and self.reader.header) then
    check_keys(self, row, line)
  end
  local out = {}
  for i, name in ipairs(self.columns) do
    local ok, value = pcall(values.convert, pick(self, row, i, name, line), info.columns[name], self.origin)
    if not ok then
      if errors.is(value) then error(value, 0) end
      self:fail(("column %q: %s"):format(name, tostring(value)), line)
    end
    out[i] = value == nil and db.null or value
  end
  return out
end

---@return string|nil file, integer|nil line of the n-th row
function Source:place(n)
  if not self.reader then return nil end
  return self.reader.path, self.reader:line_of(n + self.skipped)
end

return M
