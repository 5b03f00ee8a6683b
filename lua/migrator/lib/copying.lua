---COPY, the part that is only words: what the server says of a row, why a row cannot be one, a CSV file's header.
local errors = require "migrator.error"

local M = {}

---What the server says of a row in a COPY, `COPY t, line 3, column price: "x"`, in whatever language it speaks.
---@return integer|nil line, string|nil column
local function copy_place(err)
  if not errors.is(err) or not err.context then return nil end
  local context = "\n" .. err.context
  local line, rest = context:match "\nCOPY [^\n]-, line (%d+)([^\n]*)"
  if not line then line, rest = context:match "\nCOPY [^\n]-, [^%s,]+ (%d+)([^\n]*)" end
  return math.tointeger(tonumber(line)), rest and rest:match "^, [^%s,]+ ([^:]+)"
end

---Names row and column in an error of a COPY, and the place in the file that the row comes from.
---@param err any
---@param name string the table, as the user knows it
---@param place? fun(line: integer): integer?, string?, integer? the server's line -> row, file, line
function M.failure(err, name, place)
  local number, column = copy_place(err)
  if not number then return err end
  local row, file, line = number, nil, nil
  if place then row, file, line = place(number) end
  errors.add(err, { file = file, line = line, row = row })
  err.message = ("%s%s%s: %s"):format(name, row and ", row " .. row or "", column and ", column " .. column or "",
    err.message)
  return err
end

---Says why the n-th row cannot be written as text.
---@param row any
---@param n integer
---@param columns string[]
function M.refuse(row, n, columns)
  local width = #columns
  if type(row) ~= "table" then errors.raise("usage", ("row %d is a %s, not a list"):format(n, type(row))) end
  if row[width + 1] ~= nil then
    errors.raise("usage", { message = ("row %d has more values than the %d columns"):format(n, width), row = n })
  end
  for i, column in ipairs(columns) do
    local value = row[i]
    local why = type(value) == "string" and value:find("\0", 1, true) and "a NUL byte, which text cannot hold"
      or (type(value) == "table" or type(value) == "function") and "a " .. type(value)
    if why then
      errors.raise("usage", { message = ("row %d, column %s: %s"):format(n, column, why), row = n,
        hint = "use db.array, db.json or db.bytea" })
    end
  end
  errors.raise("usage", { message = ("row %d cannot be copied"):format(n), row = n })
end

local function count_quotes(text) return select(2, text:gsub('"', "")) end

---The first field of text from `at` on, and the byte behind its delimiter.
local function field(text, at, delimiter)
  local from, quoted = at, text:sub(at, at) == '"'
  while quoted do
    from = (text:find('"', from + 1, true) or #text) + 1
    quoted = text:sub(from, from) == '"'
  end
  local stop = text:find(delimiter, from, true)
  local name = text:sub(at, stop - 1)
  return name:sub(1, 1) == '"' and name:sub(2, -2):gsub('""', '"') or name, stop + #delimiter
end

---The names in the first record of a CSV file.
---@param read fun(): string? the next line, with its end
---@param delimiter? string
---@return string[]
function M.header(read, delimiter)
  delimiter = delimiter or ","
  local text = (read() or ""):gsub("^\u{FEFF}", "")
  while count_quotes(text) % 2 == 1 do
    local more = read()
    if not more then break end
    text = text .. more
  end
  text = text:gsub("\r?\n$", "")
  if text == "" then return {} end
  text = text .. delimiter
  local out, at = {}, 1
  while at <= #text do
    local name
    name, at = field(text, at, delimiter)
    out[#out + 1] = name
  end
  return out
end

return M
