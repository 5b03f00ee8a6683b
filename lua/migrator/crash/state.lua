---What a database holds, so that two of them can be compared: schema, rows, tracking rows, sequences, roles.
---Rows are compared as sets. What PostgreSQL itself does not promise to repeat is told apart: a column whose values
---differ between two undisturbed runs (a clock, a random key), and numbers from sequences, which a rollback does not
---give back: of a sequence, only that it is not behind is asked.
local db = require "migrator.db"
local errors = require "migrator.error"
local sql = require "migrator.core.sql"
local tracking_table = require "migrator.tracking"

local M = {}

---@class migrator.crash.Table
---@field name string qualified, quoted
---@field columns { name: string, fed: boolean }[] fed: its values come from a sequence, or refer to ones that do
---@field rows_vary? boolean undisturbed runs differ in the number of rows

---@class migrator.crash.Shape
---@field tables migrator.crash.Table[]
---@field tracking migrator.Tracking
---@field skipped table<string, boolean> "table.column" that is not compared

local COLUMNS = [[
with recursive fed(rel, att) as (
  select attrelid, attnum from pg_catalog.pg_attribute where attidentity <> ''
  union select d.adrelid, d.adnum from pg_catalog.pg_attrdef d
    join pg_catalog.pg_depend p on p.classid = 'pg_catalog.pg_attrdef'::regclass and p.objid = d.oid
      and p.refclassid = 'pg_catalog.pg_class'::regclass
    join pg_catalog.pg_class s on s.oid = p.refobjid and s.relkind = 'S'
  union select c.conrelid, k.att from fed f join pg_catalog.pg_constraint c on c.contype = 'f' and c.confrelid = f.rel
    cross join lateral unnest(c.conkey, c.confkey) k(att, ref) where k.ref = f.att)
select c.oid::int8 as id, n.nspname::text as schema, c.relname::text as name, a.attname::text as column,
  exists (select 1 from fed f where f.rel = c.oid and f.att = a.attnum) as fed
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where (c.relkind = 'r' or c.relkind = 'm' and c.relispopulated) and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'migrator') and c.oid is distinct from pg_catalog.to_regclass($1)
order by 2, 3, a.attnum]]

local SEQUENCES = [[
select schemaname::text || '.' || sequencename::text as name, last_value from pg_catalog.pg_sequences
where increment_by > 0 and not cycle and schemaname not in ($1, 'migrator') order by 1]]

local ROLES = [[select pg_catalog.string_agg(rolname, ', ' order by rolname) from pg_catalog.pg_roles
where rolname !~ '^pg_']]

---@param tracking migrator.Tracking
---@return migrator.crash.Shape
function M.shape(url, tracking)
  local conn <close> = db.connect(url)
  local tables, current = {}, nil
  for _, row in ipairs(conn:exec(COLUMNS, tracking.name)) do
    if not current or current.id ~= row.id then
      current = { id = row.id, name = sql.quote_ident(row.schema) .. "." .. sql.quote_ident(row.name), columns = {} }
      tables[#tables + 1] = current
    end
    if row.column ~= db.null then
      current.columns[#current.columns + 1] = { name = row.column, fed = row.fed }
    end
  end
  return { tables = tables, tracking = tracking, skipped = {} }
end

local function sum_of(columns)
  if #columns == 0 then return "''" end
  return ("coalesce(sum(pg_catalog.hashtextextended(row(%s)::text, 0)::numeric), 0)::text"):format(
    table.concat(columns, ", "))
end

-- Sums of hashes: the order of the rows does not count, and no row is kept.
local function digest_query(shape, index)
  local found, all, sure = shape.tables[index], {}, {}
  for _, column in ipairs(found.columns) do
    local quoted = "t." .. sql.quote_ident(column.name)
    if not shape.skipped[found.name .. "." .. column.name] then
      all[#all + 1] = quoted
      if not column.fed then sure[#sure + 1] = quoted end
    end
  end
  return ("select %d as id, count(*) as rows, %s as every, %s as sure from %s t"):format(index, sum_of(all),
    sum_of(sure), found.name)
end

local function take_tables(conn, shape)
  local queries, out = {}, {}
  for index in ipairs(shape.tables) do queries[index] = digest_query(shape, index) end
  if #queries == 0 then return out end
  for _, row in ipairs(conn:exec(table.concat(queries, "\nunion all "))) do out[row.id] = row end
  return out
end

local function take_tracking(conn, shape)
  local out = {}
  for i, row in ipairs(tracking_table.rows(conn:exec(shape.tracking.read))) do
    out[i] = row.hash .. " " .. tostring(row.created_at)
  end
  return table.concat(out, "\n")
end

---@class migrator.crash.State
---@field dump string
---@field tables table<integer, { rows: integer, every: string, sure: string }>|string a text: why they cannot be read
---@field tracking string
---@field sequences table<string, integer>
---@field roles string

---@param url string
---@param shape migrator.crash.Shape
---@param dump string
---@return migrator.crash.State
function M.take(url, shape, dump)
  local conn <close> = db.connect(url)
  local state = { dump = dump, sequences = {}, roles = conn:value(ROLES) }
  for name, take in pairs { tables = take_tables, tracking = take_tracking } do
    local ok, result = pcall(take, conn, shape)
    if not ok and not errors.is(result, "sql") then error(result, 0) end
    state[name] = ok and result or tostring(result)
  end
  for _, row in ipairs(conn:exec(SEQUENCES, shape.tracking.schema)) do
    if row.last_value ~= db.null then state.sequences[row.name] = row.last_value end
  end
  return state
end

---The digests of every column by itself, to learn from two undisturbed runs what cannot be compared.
---@param url string
---@param shape migrator.crash.Shape
---@return table<string, string|integer> by "table.column", and the number of rows by "table"
function M.columns(url, shape)
  local conn <close> = db.connect(url)
  local out = {}
  for _, found in ipairs(shape.tables) do
    local sums = { "count(*) as n0" }
    for i, column in ipairs(found.columns) do
      sums[#sums + 1] = sum_of { "t." .. sql.quote_ident(column.name) } .. " as n" .. i
    end
    local row = conn:row(("select %s from %s t"):format(table.concat(sums, ", "), found.name))
    out[found.name] = row.n0
    for i, column in ipairs(found.columns) do out[found.name .. "." .. column.name] = row["n" .. i] end
  end
  return out
end

---Marks what differs although nobody disturbed either run.
---@param shape migrator.crash.Shape
---@param one table<string, string|integer> of M.columns
---@param two table<string, string|integer>
---@return string[] names of what is not compared
function M.skip_what_varies(shape, one, two)
  local out = {}
  for _, found in ipairs(shape.tables) do
    found.rows_vary = one[found.name] ~= two[found.name]
    if found.rows_vary then out[#out + 1] = found.name end
    for _, column in ipairs(found.columns) do
      local name = found.name .. "." .. column.name
      shape.skipped[name] = one[name] ~= two[name]
      if shape.skipped[name] and not found.rows_vary then out[#out + 1] = name end
    end
  end
  return out
end

local function lines_of(text)
  local count = {}
  for line in text:gmatch("[^\n]+") do
    if not line:find("^%-%-") then count[line] = (count[line] or 0) + 1 end
  end
  return count
end

local function first_extra(text, than)
  local count = lines_of(than)
  for line in text:gmatch("[^\n]+") do
    if not line:find("^%-%-") then
      if (count[line] or 0) == 0 then return line:match("^%s*(.-)%s*$") end
      count[line] = count[line] - 1
    end
  end
end

---Where two dumps differ first, or nil.
---@return string|nil
function M.compare_schema(expected, found)
  if expected == found then return nil end
  local lacks, has = first_extra(expected, found), first_extra(found, expected)
  if not lacks and not has then return "the schema has its parts in another order" end
  return "the schema" .. (lacks and (" lacks `%s`"):format(lacks) or "") .. (lacks and has and " and" or "")
    .. (has and (" has `%s`"):format(has) or "")
end

local function compare_tables(shape, expected, found, out, notes)
  if type(found) == "string" then
    out[#out + 1] = "the rows cannot be read: " .. found
    return
  end
  for index, item in ipairs(shape.tables) do
    local want, have = expected[index], found[index]
    if item.rows_vary then
      have = want -- nothing is known of it
    end
    if want.rows ~= have.rows then
      out[#out + 1] = ("%s has %d rows instead of %d"):format(item.name, have.rows, want.rows)
    elseif want.sure ~= have.sure then
      out[#out + 1] = ("%s has other values in its %d rows"):format(item.name, have.rows)
    elseif want.every ~= have.every then
      notes[item.name] = true
    end
  end
end

---@param shape migrator.crash.Shape
---@param expected migrator.crash.State
---@param found migrator.crash.State
---@param notes table<string, boolean> tables whose numbers from sequences alone differ are added
---@return string[] differences
function M.compare(shape, expected, found, notes)
  local out = { M.compare_schema(expected.dump, found.dump) }
  compare_tables(shape, expected.tables, found.tables, out, notes)
  if expected.tracking ~= found.tracking then
    local _, want = expected.tracking:gsub("[^\n]+", "")
    local _, have = found.tracking:gsub("[^\n]+", "")
    out[#out + 1] = want == have and "the tracking rows are others, or in another order"
      or ("the tracking table has %d rows instead of %d"):format(have, want)
  end
  if expected.roles ~= found.roles then out[#out + 1] = "the roles are others: " .. found.roles end
  for name, value in pairs(expected.sequences) do
    if (found.sequences[name] or 0) < value then
      out[#out + 1] = ("sequence %s is at %s instead of %d"):format(name, tostring(found.sequences[name]), value)
    end
  end
  return out
end

return M
