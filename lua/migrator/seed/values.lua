---Tables, their columns, and Lua values as the text that a column's type takes.
local db = require "migrator.db"
local errors = require "migrator.error"
local json = require "migrator.seed.json"
local sql = require "migrator.core.sql"
local suggest = require "migrator.lib.suggest"

local M = {}

---@class migrator.SeedTable
---@field name string as given
---@field quoted string
---@field oid integer
---@field columns table<string, { name: string, type: string, kind: string, element: string }> and generated, identity
---@field names string[] in the table's order
---@field primary string[] columns of the primary key

local COLUMNS = [[
select a.attname::text as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
  coalesce(b.typname, t.typname)::text as kind, t.typcategory = 'A' as is_array, e.typname::text as element,
  a.attgenerated <> '' as generated, a.attidentity::text as identity,
  coalesce(a.attnum = any(i.indkey::int2[]), false) as is_primary
from pg_catalog.pg_attribute a
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_type b on b.oid = t.typbasetype and t.typtype = 'd'
left join pg_catalog.pg_type e on e.oid = t.typelem
left join pg_catalog.pg_index i on i.indrelid = a.attrelid and i.indisprimary
where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped order by a.attnum]]

---A name as in a script, `user` or `auth.user`, quoted. What is quoted already stays.
---@param name string
function M.quote(name)
  if name:find('"', 1, true) then return name end
  return (name:gsub("[^.]+", sql.quote_ident))
end

local function unknown_table(conn, name)
  local names = {}
  for _, row in ipairs(conn:exec([[select case when pg_catalog.pg_table_is_visible(oid) then '' else
    relnamespace::regnamespace::text || '.' end
    || relname as name from pg_catalog.pg_class where relkind in ('r', 'p')
    and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema', 'pg_toast')]])) do
    names[#names + 1] = row.name
  end
  errors.raise("seed", { message = ("there is no table %s"):format(name),
    hint = suggest.hint(name, names) or "is a migration missing, or the schema's name?" })
end

---@param conn migrator.Conn
---@param name string
---@return migrator.SeedTable
function M.table(conn, name)
  if type(name) ~= "string" or name == "" then errors.raise("seed", "the name of a table is a text") end
  local quoted = M.quote(name)
  local row = conn:row([[select c.oid::int8 as oid, c.relkind::text as kind from pg_catalog.pg_class c
    where c.oid = pg_catalog.to_regclass($1)]], quoted)
  if not row then unknown_table(conn, name) end
  local out = { name = name, quoted = quoted, oid = row.oid, columns = {}, names = {}, primary = {} }
  for i, column in ipairs(conn:exec(COLUMNS, row.oid)) do
    out.columns[column.name], out.names[i] = column, column.name
    if column.is_primary then table.insert(out.primary, column.name) end
  end
  return out
end

---@param info migrator.SeedTable
---@param names string[]
function M.check_columns(info, names)
  local seen = {}
  if #names == 0 then errors.raise("seed", ("no columns are given for %s"):format(info.name)) end
  for _, name in ipairs(names) do
    local column = info.columns[name]
    if not column then
      errors.raise("seed", { message = ("table %s has no column %q"):format(info.name, tostring(name)),
        hint = suggest.hint(tostring(name), info.names) or "columns: " .. table.concat(info.names, ", ") })
    end
    if column.generated then
      errors.raise("seed", ("column %s of %s is generated: it cannot be given"):format(name, info.name))
    end
    if seen[name] then errors.raise("seed", ("column %s is given twice"):format(name)) end
    seen[name] = true
  end
end

local VECTORS = { vector = true, halfvec = true }
local JSON = { json = true, jsonb = true }

local function element(value, kind)
  if value == db.null then return "NULL" end
  if JSON[kind] then return '"' .. json.encode(value):gsub('[\\"]', "\\%0") .. '"' end
  if type(value) == "table" then return M.array(value, kind) end
  if type(value) == "number" then return json.number(value) end
  if type(value) == "boolean" then return value and "t" or "f" end
  if kind == "bytea" then value = db.bytea(value) end
  return '"' .. tostring(value):gsub('[\\"]', "\\%0") .. '"'
end

---@param list any[]
---@param kind? string the element's type
function M.array(list, kind)
  local out = {}
  for i, value in ipairs(list) do out[i] = element(value, kind) end
  return "{" .. table.concat(out, ",") .. "}"
end

local function vector(list)
  local out = {}
  for i, value in ipairs(list) do out[i] = type(value) == "number" and json.number(value) or tostring(value) end
  return "[" .. table.concat(out, ",") .. "]"
end

---Are Lua's texts, numbers and booleans written into this column as into any other?
---@param column table of M.table
---@param origin "lua"|"json"|"text"
function M.is_plain(column, origin)
  if origin == "text" then return true end
  return not JSON[column.kind] and not (column.kind == "bytea" and origin == "lua")
end

local NUMBERS = { numeric = true, float4 = true, float8 = true }

---What COPY makes of a JSON value in this column (mig_json_form), or nil when only M.convert knows.
---@param column table of M.table
---@return string|nil
function M.json_form(column)
  if column.is_array then
    if column.element == "bytea" then return nil end
    return JSON[column.element] and "arrays" or "array"
  end
  return JSON[column.kind] and "raw" or VECTORS[column.kind] and "vector" or NUMBERS[column.kind] and "number"
    or "plain"
end

---A value as the column takes it: a text, or db.null.
---@param value any
---@param column table of M.table
---@param origin "lua"|"json"|"text" where it comes from: what a plain text means depends on it
function M.convert(value, column, origin)
  if value == nil or value == db.null then return db.null end
  local kind = type(value)
  if JSON[column.kind] and (kind ~= "string" or origin == "json") then return json.encode(value) end
  if kind == "string" then
    if column.kind == "bytea" and origin == "lua" then return db.bytea(value) end
    return value
  end
  if kind == "number" then return json.number(value) end
  if kind == "boolean" then return value and "t" or "f" end
  if kind == "table" and column.is_array then return M.array(value, column.element) end
  if kind == "table" and VECTORS[column.kind] then return vector(value) end
  error(("a %s cannot be written into a column of type %s"):format(kind, column.type), 0)
end

return M
