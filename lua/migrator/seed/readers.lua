---Rows from files: CSV as in RFC 4180, JSON lines, JSON. Read as they are asked for; every complaint names file and
---line.
local core = require "migrator.core.db"
local db = require "migrator.db"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local json = require "migrator.seed.json"
local sql = require "migrator.core.sql"
local suggest = require "migrator.lib.suggest"

local M = {}

local BOM = "\u{FEFF}"
local CHUNK = 1 << 16

---@class migrator.SeedReader
---@field path string
---@field origin "text"|"json" what a text in a row means
---@field header string[]|nil
---@field next fun(self): table|nil, integer? the next row by column name, and its line

local Reader = {}
Reader.__index = Reader

---A reader is an iterator: `for row in seed.csv "models.csv" do`.
function Reader:__call()
  local row = self:next()
  return row
end

function Reader:fail(message, line, hint)
  errors.raise("seed", { message = message, file = self.path, line = line or self.line, hint = hint })
end

---The file's line of the n-th row, found by reading it again.
function Reader:line_of(n)
  if self.format == "csv" then
    local _, line = core.locate_csv(self.path, self.opts.header ~= false, nil, n)
    return line
  end
  local again <close> = M[self.format](self.path, self.opts)
  for _ = 1, n do
    local text
    repeat text = again:read_line() until not text or text:find("%S")
    if not text then return nil end
  end
  return again.line
end

---Whole lines, many at a time; the caller counts them.
function Reader:read_lines()
  local text, rest = self.handle:read(CHUNK, "L")
  if not text then
    self:close()
    return nil
  end
  if self.line == 0 and text:sub(1, #BOM) == BOM then text = text:sub(#BOM + 1) end
  return rest and text .. rest or text
end

function Reader:read_line()
  local text = self.handle and self.handle:read("L")
  if not text then
    self:close()
    return nil
  end
  self.line = self.line + 1
  if self.line == 1 and text:sub(1, #BOM) == BOM then text = text:sub(#BOM + 1) end
  return text
end

function Reader:close()
  if self.handle then self.handle:close() end
  self.handle = nil
end

Reader.__close = Reader.close
Reader.__gc = Reader.close

local function open(format, path, opts, origin)
  local found = fs.find(path)
  if not found then errors.raise("seed", { message = "no such file: " .. path, file = path }) end
  local handle, why = io.open(path, "rb")
  if not handle or found.type ~= "file" then errors.raise("seed", { message = "cannot read " .. (why or path),
    file = path }) end
  return setmetatable({ format = format, path = path, opts = opts, handle = handle, line = 0, origin = origin,
    count = 0 }, Reader)
end

local CSV_OPTIONS = { delimiter = "string", null = "string", header = "boolean", columns = "table" }

local function check_options(opts, known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  table.sort(names)
  for key, value in pairs(opts or {}) do
    if not known[key] then
      errors.raise("seed", { message = ("unknown option %q"):format(tostring(key)), hint = suggest.hint(tostring(key),
        names)
        or "options: " .. table.concat(names, ", ") })
    end
    if type(value) ~= known[key] then errors.raise("seed", ("option %s is a %s"):format(key, known[key])) end
  end
end

M.check_options = check_options

local function count_quotes(text)
  local _, n = text:gsub('"', "")
  return n
end

---One record's text: further lines as long as a quote is open.
local function read_record(self)
  local text = self:read_line()
  if not text then return nil end
  local first, quotes, more = self.line, count_quotes(text), nil
  while quotes % 2 == 1 do
    local line = self:read_line()
    if not line then self:fail("a quote is not closed", first) end
    more = more or { text }
    more[#more + 1] = line
    quotes = quotes + count_quotes(line)
  end
  text = more and table.concat(more) or text
  return text:gsub("\r?\n$", ""), first
end

local function read_quoted(self, text, at, line)
  local from, parts = at + 1, {}
  while true do
    local stop = text:find('"', from, true)
    if not stop then self:fail("a quote is not closed", line) end
    parts[#parts + 1] = text:sub(from, stop - 1)
    if text:sub(stop + 1, stop + 1) ~= '"' then return table.concat(parts, '"'), stop + 1 end
    from = stop + 2
  end
end

local function split_record(self, text, line)
  local out, n, at, delimiter, null = {}, 0, 1, self.delimiter, self.null
  while true do
    n = n + 1
    if text:sub(at, at) == '"' then
      out[n], at = read_quoted(self, text, at, line)
      if at <= #text and text:sub(at, at) ~= delimiter then self:fail("something stands behind a closing quote",
        line) end
    else
      local stop = text:find(delimiter, at, true) or #text + 1
      local value = text:sub(at, stop - 1)
      if value:find('"', 1, true) then self:fail("a quote inside a field that is not quoted", line) end
      out[n], at = value == null and db.null or value, stop
    end
    if at > #text then return out, n end
    at = at + 1
    if at > #text then -- a delimiter ends the record: an empty field is behind it
      out[n + 1] = null == "" and db.null or ""
      return out, n + 1
    end
  end
end

local function next_csv(self)
  local text, line = read_record(self)
  if not text then return nil end
  self.count = self.count + 1
  local values, n = split_record(self, text, line)
  if n ~= #self.header then
    self:fail(("%d fields, the header has %d"):format(n, #self.header), line)
  end
  local row = {}
  for i, name in ipairs(self.header) do row[name] = values[i] end
  return row, line
end

---@param path string
---@param opts? { delimiter?: string, null?: string, header?: boolean, columns?: string[] }
---@return migrator.SeedReader
function M.csv(path, opts)
  opts = opts or {}
  check_options(opts, CSV_OPTIONS)
  local self = open("csv", path, opts, "text")
  self.delimiter, self.null, self.next = opts.delimiter or ",", opts.null or "", next_csv
  if #self.delimiter ~= 1 or self.delimiter:find('["\r\n]') then self:fail("a delimiter is one character", 1) end
  if opts.header == false then
    self.header = opts.columns or self:fail("without a header the columns must be given", 1)
    return self
  end
  local text = read_record(self)
  if not text or text == "" then self:fail("the file has no header", 1) end
  self.header = split_record(self, text, 1)
  local seen = {}
  for i, name in ipairs(self.header) do
    if name == db.null or name == "" then self:fail(("column %d has no name"):format(i), 1) end
    if seen[name] then self:fail(("column %q stands in the header twice"):format(name), 1) end
    seen[name] = true
  end
  if opts.columns then self.header = opts.columns end
  return self
end

local function decode(self, text, line)
  local value, problem = json.decode(text)
  if not problem then return value end
  local extra, column = sql.position(text, math.max(1, math.min(problem.at, #text)))
  errors.raise("seed", { message = "not valid JSON: " .. problem.message, file = self.path, line = line + extra - 1,
    column = column })
end

---The row that a line of JSON is.
function Reader:decode_line(text, line)
  local row = decode(self, text, line)
  if type(row) ~= "table" or #row > 0 then self:fail("a line is not a JSON object", line) end
  return row
end

local function next_jsonl(self)
  local text
  repeat text = self:read_line() until not text or text:find("%S")
  if not text then return nil end
  self.count = self.count + 1
  return self:decode_line(text, self.line), self.line
end

---@param path string one JSON object a line
---@return migrator.SeedReader
function M.jsonl(path, opts)
  check_options(opts, {})
  local self = open("jsonl", path, opts, "json")
  self.next = next_jsonl
  return self
end

---A whole JSON file as a value. Lists know that they are lists, also when they are empty.
---@param path string
function M.json(path)
  local self <close> = open("json", path, {}, "json")
  local text = self.handle:read("a")
  if text:sub(1, #BOM) == BOM then text = text:sub(#BOM + 1) end
  return decode(self, text, 1)
end

---@return boolean
function M.is_reader(value) return getmetatable(value) == Reader end

return M
