---Rows into tables: by COPY, straight or through a temporary table and INSERT … ON CONFLICT, with exact counts.
local errors = require "migrator.error"
local readers = require "migrator.seed.readers"
local source_of = require "migrator.seed.source"
local sql = require "migrator.core.sql"
local values = require "migrator.seed.values"

local M = {}

local CHUNK = 1 << 16
local ROW = "migrator row"

local function idents(names, prefix)
  local out = {}
  for i, name in ipairs(names) do out[i] = (prefix or "") .. sql.quote_ident(name) end
  return out
end

---COPY says "COPY t, line 3, column price: …"; in the file that may be another line.
local function annotate(err, source, info)
  if not errors.is(err) or not err.context then return err end
  local number = tonumber(err.context:match("^COPY [^\n]-, line (%d+)"))
  if not number then return err end
  local column = err.context:match('^COPY [^\n]-, line %d+, column ([^:\n]+)')
  if source.raw then
    errors.add(err, { file = source.reader.path, line = number })
  else
    local file, line = source:place(number)
    errors.add(err, { file = file, line = line, row = number })
  end
  err.message = ("%s%s%s: %s"):format(info.name, source.raw and "" or ", row " .. number, column and ", column "
    .. column or "",
    err.message)
  return err
end

local function refuse_end_marker(reader, text, line)
  local at = ("\n" .. text):find("\n\\.\r?\n") or ("\n" .. text):find("\n\\.$")
  if not at then return end
  local _, newlines = text:sub(1, at - 1):gsub("\n", "")
  errors.raise("seed", { message = [[a line that is only \. would end the COPY, and the rows behind it would be lost]],
    file = reader.path, line = line + newlines, hint = "put it in quotes" })
end

---The file's bytes as they are: the server reads CSV better than we could, and counts its lines.
local function send_raw(conn, source, target)
  local reader = source.reader
  local handle <close> = assert(io.open(reader.path, "rb"))
  local copy <close> = conn:copy_in(("copy %s (%s) from stdin with (format csv, header true, delimiter %s, null %s)")
    :format(target, table.concat(idents(source.columns), ", "), sql.quote_literal(reader.delimiter),
      sql.quote_literal(reader.null)))
  local line = 1
  while true do
    local text, rest = handle:read(CHUNK, "L")
    if not text then break end
    text = text .. (rest or "")
    refuse_end_marker(reader, text, line)
    if text:find("\n", 1, true) then line = line + select(2, text:gsub("\n", "")) end
    copy:write(text)
  end
  source.rows = copy:finish()
  reader:close()
  return source.rows
end

local function send_rows(conn, source, target, info)
  return conn:copy_rows(target, source.columns, function() return source:next(info) end)
end

-- What is wrong with the names of a CSV file stands in its first line.
local function check_header(info, source)
  local ok, err = pcall(values.check_columns, info, source.columns)
  if ok then return end
  local reader = source.reader
  if reader and reader.format == "csv" and reader.header == source.columns and reader.opts.header ~= false
    and not reader.opts.columns then
    errors.add(err, { file = reader.path, line = 1 })
  end
  error(err, 0)
end

---@param conn migrator.Conn
---@param source migrator.SeedSource
---@param target string quoted
---@param info migrator.SeedTable
---@return integer rows
local function fill(conn, source, target, info)
  check_header(info, source)
  local ok, result = pcall(source.raw and send_raw or send_rows, conn, source, target, info)
  if ok then return result end
  error(annotate(result, source, info), 0)
end

---@param conn migrator.Conn
---@param counts migrator.SeedCounts
---@param name string
---@param columns string[]|nil
---@param rows any
---@return integer
function M.copy(conn, counts, name, columns, rows)
  local info = values.table(conn, name)
  local source = source_of.new(rows, columns)
  if source.columns[1] == nil and source.rows == 0 and not source.reader then return 0 end
  local n = fill(conn, source, info.quoted, info)
  counts:add(name, "copied", n)
  return n
end

local number = 0

local function stage(conn, source, info)
  check_header(info, source)
  number = number + 1
  local name = "migrator_seed_" .. number
  conn:exec(("create temporary table %s on commit drop as select %s from %s with no data"):format(name,
    table.concat(idents(source.columns), ", "), info.quoted))
  conn:exec(("alter table %s add column %s bigserial"):format(name, sql.quote_ident(ROW)))
  fill(conn, source, name, info)
  return name
end

local function fail_row(source, info, row, message, hint, err)
  local file, line = source:place(row)
  local made = err or errors.new("seed", "")
  made.message = ("%s, row %d: %s"):format(info.name, row, message)
  made.hint = made.hint or hint
  error(errors.add(made, { file = file, line = line, row = row }), 0)
end

---A key that is NULL never meets another, and one that comes twice would be inserted by chance: neither is idempotent.
local function check_keys(conn, staged, source, info, key)
  local columns = idents(key)
  local row = sql.quote_ident(ROW)
  local found = conn:row(("select min(%s) as row from %s where %s is null having count(*) > 0"):format(row, staged,
    table.concat(columns, " is null or ")))
  if found then fail_row(source, info, found.row, "the key (" .. table.concat(key, ", ") .. ") has no value") end
  found = conn:row(
    ("select min(%s) as first, max(%s) as row from %s group by %s having count(*) > 1 order by 2 limit 1")
    :format(row, row, staged, table.concat(columns, ", ")))
  if found then
    fail_row(source, info, found.row, ("it has the same key (%s) as row %d"):format(table.concat(key, ", "),
      found.first))
  end
end

-- No equality is defined for these: their texts are compared.
local NO_EQUALITY = { json = true, xml = true, point = true, polygon = true, path = true, box = true, lseg = true,
  line = true,
  circle = true }

local function differs(info, columns)
  local old, new = {}, {}
  for i, name in ipairs(columns) do
    local cast = NO_EQUALITY[info.columns[name].kind] and "::text" or ""
    old[i] = "migrator_target." .. sql.quote_ident(name) .. cast
    new[i] = "excluded." .. sql.quote_ident(name) .. cast
  end
  return ("(%s) is distinct from (%s)"):format(table.concat(old, ", "), table.concat(new, ", "))
end

local function insert_text(info, source, staged, opts)
  local columns, identity = idents(source.columns), ""
  for _, name in ipairs(source.columns) do
    if info.columns[name].identity == "a" then identity = "overriding system value " end
  end
  local action = "nothing"
  if opts.update and #opts.update > 0 then
    local set = {}
    for i, name in ipairs(opts.update) do
      local quoted = sql.quote_ident(name)
      set[i] = quoted .. " = excluded." .. quoted
    end
    if opts.touch then set[#set + 1] = sql.quote_ident(opts.touch) .. " = now()" end
    action = ("update set %s where %s"):format(table.concat(set, ", "), differs(info, opts.update))
  end
  local list = table.concat(columns, ", ")
  return ([[with written as (insert into %s as migrator_target (%s) %sselect %s from %s where "%s" <= $1::int8 order
    by "%s"
  on conflict (%s) do %s returning (xmax = 0) as created)
select count(*) filter (where created) as created, count(*) filter (where not created) as updated from
  written]]):format(
    info.quoted, list, identity, list, staged, ROW, ROW, table.concat(idents(opts.key), ", "), action)
end

---Which row it was: PostgreSQL does not say, so the shortest beginning that fails is looked for, halving.
local function find_row(conn, text, rows, sqlstate)
  local low, high = 1, rows
  while low < high do
    local middle = (low + high) // 2
    conn:exec("savepoint migrator_seed")
    local ok, err = pcall(conn.exec, conn, text, middle)
    conn:exec("rollback to savepoint migrator_seed")
    if not ok and not (errors.is(err) and err.sqlstate) then error(err, 0) end
    if not ok and err.sqlstate == sqlstate then high = middle else low = middle + 1 end
  end
  return low
end

local function insert(conn, text, source, info, opts)
  conn:exec("savepoint migrator_seed")
  local ok, result = pcall(conn.row, conn, text, source.rows)
  if ok then
    conn:exec("release savepoint migrator_seed")
    return result
  end
  if not errors.is(result, "sql") then error(result, 0) end
  if result.sqlstate == "42P10" then
    errors.raise("seed", { message = ("%s has no unique constraint or index on (%s)"):format(info.name,
      table.concat(opts.key, ", ")), hint = "seed.upsert needs one, over exactly these columns",
        sqlstate = result.sqlstate })
  end
  if not result.sqlstate:find("^2[23]") then error(result, 0) end
  conn:exec("rollback to savepoint migrator_seed")
  local row = find_row(conn, text, source.rows, result.sqlstate)
  return fail_row(source, info, row, result.message, nil, result)
end

local function rest_of(columns, key, touch)
  local is_key, out = { [touch or false] = true }, {}
  for _, name in ipairs(key) do is_key[name] = true end
  for _, name in ipairs(columns) do
    if not is_key[name] then out[#out + 1] = name end
  end
  return out
end

local UPSERT = { key = "table", columns = "table", update = "table", touch = "string" }
local INSERT_MISSING = { key = "table", columns = "table" }

local function check_given(name, opts, known)
  if type(opts) ~= "table" then errors.raise("seed", ("%s: the options are a table"):format(name)) end
  local given = {}
  for key, value in pairs(opts) do
    if key ~= "rows" then given[key] = value end
  end
  readers.check_options(given, known)
  if opts.rows == nil then errors.raise("seed", ("%s: rows is missing"):format(name)) end
end

local function check(name, opts, info, source)
  if #opts.key == 0 then errors.raise("seed", ("upsert into %s: key wants at least one column"):format(name)) end
  check_header(info, source)
  for _, list in ipairs { opts.key, opts.update } do
    values.check_columns(info, #list > 0 and list or opts.key)
    for _, column in ipairs(list) do
      local given = false
      for _, other in ipairs(source.columns) do given = given or other == column end
      if not given then errors.raise("seed", ("upsert into %s: the rows have no column %q"):format(name, column)) end
    end
  end
  if opts.touch then values.check_columns(info, { opts.touch }) end
end

---@param conn migrator.Conn
---@param counts migrator.SeedCounts
---@param name string
---@param opts { key: string[], columns?: string[], rows: any, update?: string[], touch?: string }
---@return { created: integer, updated: integer, unchanged: integer }
function M.upsert(conn, counts, name, opts)
  check_given(name, opts, UPSERT)
  local info = values.table(conn, name)
  local key = opts.key or info.primary
  local source = source_of.new(opts.rows, opts.columns)
  if #source.columns == 0 and not source.reader then
    counts:add(name, "unchanged", 0)
    return { created = 0, updated = 0, unchanged = 0 }
  end
  local settled = { key = key, touch = opts.touch, update = opts.update or rest_of(source.columns, key, opts.touch) }
  check(name, settled, info, source)
  local staged = stage(conn, source, info)
  check_keys(conn, staged, source, info, key)
  local done = insert(conn, insert_text(info, source, staged, settled), source, info, settled)
  conn:exec("drop table " .. staged)
  done.unchanged = source.rows - done.created - done.updated
  for _, what in ipairs { "created", "updated", "unchanged" } do counts:add(name, what, done[what]) end
  return done
end

---Inserts the rows whose key is not there yet, and leaves the others as they are.
function M.insert_missing(conn, counts, name, opts)
  check_given(name, opts, INSERT_MISSING)
  return M.upsert(conn, counts, name, { key = opts.key, columns = opts.columns, rows = opts.rows, update = {} })
end

return M
