---Rows into tables: by COPY, straight or through a temporary table and INSERT … ON CONFLICT, with exact counts.
local copying = require "migrator.lib.copying"
local errors = require "migrator.error"
local readers = require "migrator.seed.readers"
local source_of = require "migrator.seed.source"
local send = require "migrator.seed.send"
local sql = require "migrator.core.sql"
local values = require "migrator.seed.values"

local M = {}

local ROW = "migrator row"

local function idents(names, prefix)
  local out = {}
  for i, name in ipairs(names) do out[i] = (prefix or "") .. sql.quote_ident(name) end
  return out
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
  local ok, result = pcall(send.rows, conn, source, target, info)
  if ok then return result end
  error(copying.failure(result, info.name, send.place(source)), 0)
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
  if source:is_empty() then return 0 end
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

---@param trace string|nil a sequence that is to follow the rows: its value stays when all else is rolled back
local function insert_text(info, source, staged, opts, trace)
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
  local follow = trace and (" where pg_catalog.setval(%s, %s) is not null"):format(sql.quote_literal(trace),
    sql.quote_ident(ROW)) or ""
  return ([[with written as (insert into %s as migrator_target (%s) %sselect %s from
    (select * from %s where "%s" <= $1::int8 order by "%s" offset 0) as staged%s
  on conflict (%s) do %s returning (xmax = 0) as created)
select count(*) filter (where created) as created, count(*) filter (where not created) as updated from
  written]]):format(
    info.quoted, list, identity, list, staged, ROW, ROW, follow, table.concat(idents(opts.key), ", "), action)
end

-- What comes of it is rolled back; -> does the insertion of the first rows fail in this way?
local function fails(conn, text, rows, sqlstate)
  conn:exec("savepoint migrator_seed")
  local ok, err = pcall(conn.exec, conn, text, rows)
  conn:exec("rollback to savepoint migrator_seed")
  if not ok and not (errors.is(err) and err.sqlstate) then error(err, 0) end
  return not ok and err.sqlstate == sqlstate
end

---A first guess at the row: the one that was inserted when it failed, or that has the key which the error names.
local function guess_row(conn, try, failure)
  if failure.sqlstate ~= "23503" then
    conn:exec("create temporary sequence migrator_seed_row")
    fails(conn, try.text("pg_temp.migrator_seed_row"), try.rows, failure.sqlstate)
    return conn:value("select last_value from pg_temp.migrator_seed_row")
  end
  local column, key = (failure.detail or ""):match("%(([^(),\"]+)%)=%((.*)%)")
  for _, name in ipairs(try.columns) do
    if name == column then
      return conn:value(("select min(%s) from %s where %s::text = $1"):format(sql.quote_ident(ROW), try.staged,
        sql.quote_ident(name)), key)
    end
  end
end

---Which row it was: PostgreSQL does not say. When the guess is wrong (a constraint that is looked at when all rows are
---in), the shortest beginning that fails is looked for, halving.
local function find_row(conn, try, failure)
  local low, high, text = 1, try.rows, try.text()
  local guess = guess_row(conn, try, failure)
  if math.type(guess) == "integer" then
    if guess == 1 or not fails(conn, text, guess - 1, failure.sqlstate) then return guess end
    high = guess - 1
  end
  while low < high do
    local middle = (low + high) // 2
    if fails(conn, text, middle, failure.sqlstate) then high = middle else low = middle + 1 end
  end
  return low
end

local function insert(conn, staged, source, info, opts)
  local try = { rows = source.rows, staged = staged, columns = source.columns,
    text = function(trace) return insert_text(info, source, staged, opts, trace) end }
  conn:exec("savepoint migrator_seed")
  local ok, result = pcall(conn.row, conn, try.text(), source.rows)
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
  local row = find_row(conn, try, result)
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
  if source:is_empty() then
    counts:add(name, "unchanged", 0)
    return { created = 0, updated = 0, unchanged = 0 }
  end
  local settled = { key = key, touch = opts.touch, update = opts.update or rest_of(source.columns, key, opts.touch) }
  check(name, settled, info, source)
  local staged = stage(conn, source, info)
  check_keys(conn, staged, source, info, key)
  local done = insert(conn, staged, source, info, settled)
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
