---Rows into a COPY: a CSV file as it is, JSON lines in C, everything else row by row.
local db = require "migrator.db"
local values = require "migrator.seed.values"

local M = {}

local function is_header(source) return source.reader.opts.header ~= false end

---The file's bytes as they are: the server reads CSV better than we could, and counts its lines.
local function send_raw(conn, source, target)
  local reader = source.reader
  source.rows = db.copy_csv(conn, target, reader.path, { columns = source.columns, header = is_header(source),
    delimiter = reader.delimiter, null = reader.null })
  reader:close()
  return source.rows
end

---One row the long way, where every complaint has its words.
local function send_row(copy, source, row, line, info)
  copy:row(table.unpack(source:convert(row, line, info), 1, #source.columns))
end

local function send_rows(conn, source, target, info)
  local copy <close> = db.copy_text(conn, target, source.columns)
  local names, width, plain = source.columns, #source.columns, true
  for _, name in ipairs(names) do plain = plain and values.is_plain(info.columns[name], source.origin) end
  while true do
    local row, line = source:read()
    if row == nil then return copy:finish() end
    local sent = false
    if plain and type(row) == "table" then
      if row[1] ~= nil and not source.reader then sent = copy:values(row, width) else sent = copy:fields(row, names) end
    end
    if sent then source.rows = source.rows + 1 else send_row(copy, source, row, line, info) end
  end
end

local function json_forms(source, info)
  local out = {}
  for i, name in ipairs(source.columns) do
    out[i] = values.json_form(info.columns[name])
    if not out[i] then return nil end
  end
  return out
end

---Lines of JSON become rows in C; a line that it does not take comes back to be read, or refused, here.
local function send_json_lines(conn, source, target, info, forms)
  local copy <close>, reader = db.copy_text(conn, target, source.columns), source.reader
  local first, number
  if source.ahead then first, number = source:read() end
  if first then send_row(copy, source, first, number, info) end
  copy:json_columns(source.columns, forms)
  for text in reader.read_lines, reader do
    local at = 1
    while at <= #text do
      local behind, rows, lines = copy:json_lines(text, at)
      at, source.rows, reader.line = behind, source.rows + rows, reader.line + lines
      if at <= #text then
        local stop = text:find("\n", at, true) or #text
        reader.line = reader.line + 1
        send_row(copy, source, reader:decode_line(text:sub(at, stop), reader.line), reader.line, info)
        at = stop + 1
      end
    end
  end
  return copy:finish()
end

---Sends all rows of a source into a table or a staging table, by the shortest way its kind allows.
---@param target string quoted
---@param info migrator.SeedTable of the table that is meant in the end
---@return integer rows
function M.rows(conn, source, target, info)
  if source.raw then return send_raw(conn, source, target) end
  local forms = source.reader and source.reader.format == "jsonl" and json_forms(source, info)
  if forms then return send_json_lines(conn, source, target, info, forms) end
  return send_rows(conn, source, target, info)
end

---The row that the server counts as this line, and where it is.
---@param source migrator.SeedSource
---@return fun(line: integer): integer?, string?, integer?
function M.place(source)
  if source.raw then return db.csv_place(source.reader.path, is_header(source)) end
  return function(number) return number, source:place(number) end
end

return M
