---The tracking table, as Drizzle makes it: what is sent to read it, to make it and to add rows. No column is ever
---added.
local errors = require "migrator.error"
local hash = require "migrator.core.hash"
local sql = require "migrator.core.sql"

local M = {}

---@class migrator.Tracking
---@field name string quoted, qualified
---@field key integer of the advisory lock
---@field read string
---@field insert string the head of what adds rows
---@field add string $1 hash, $2 created_at
---@field create string[] statements

---@class migrator.Row
---@field id integer
---@field hash string
---@field created_at integer|nil

local DIGEST = [[encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(
  hash || ':' || coalesce(created_at::text, ''), E'\n' order by id), ''), 'UTF8')), 'hex')]]

---@param schema string
---@param table_name string
---@return migrator.Tracking
function M.new(schema, table_name)
  local quoted_schema, quoted_table = sql.quote_ident(schema), sql.quote_ident(table_name)
  local name = quoted_schema .. "." .. quoted_table
  return {
    name = name, schema = schema, table = table_name,
    key = math.tointeger(tonumber("0x" .. hash.sha256("migrator:" .. name):sub(1, 16))),
    read = ("select id, hash, created_at from %s"):format(name),
    insert = ('insert into %s ("hash", "created_at") values '):format(name),
    add = ('insert into %s ("hash", "created_at") values ($1, $2)'):format(name),
    lock = ("lock table %s in share row exclusive mode"):format(name),
    create_schema = "create schema if not exists " .. quoted_schema,
    create_table = ("create table if not exists %s (id serial primary key, hash text not null, created_at bigint)")
      :format(name),
  }
end

---What adds several rows at once.
---@param tracking migrator.Tracking
---@param entries migrator.Entry[]
---@return string text, any[] params
function M.add_all(tracking, entries)
  local places, params = {}, {}
  for i, entry in ipairs(entries) do
    places[i] = ("($%d, $%d)"):format(2 * i - 1, 2 * i)
    params[2 * i - 1], params[2 * i] = entry.hash, entry.when
  end
  return tracking.insert .. table.concat(places, ", "), params
end

---The digest of rows in the order of their ids, equal to what `digest_check` computes on the server.
---@param rows { hash: string, created_at: integer|nil }[]
---@return string
function M.digest(rows)
  local lines = {}
  for i, row in ipairs(rows) do lines[i] = row.hash .. ":" .. (row.created_at and tostring(row.created_at) or "") end
  return hash.sha256(table.concat(lines, "\n"))
end

---A query that fails on the server unless the table holds what we think: the check and what depends on it are one
---flight.
---$1 the digest, $2 the text that the failure is to carry.
---@param tracking migrator.Tracking
---@return string
function M.digest_check(tracking)
  return ("select case when %s = $1 then 0 else ($2 || count(*)::text)::int4 end from %s"):format(DIGEST, tracking.name)
end

local function by_id(a, b) return a.id < b.id end

---@param rows table[] as read; they become the rows, in the order of their ids
---@return migrator.Row[]
function M.rows(rows)
  local kind, last, sorted = math.type, math.mininteger, true
  for _, row in ipairs(rows) do
    local id = row.id
    if kind(id) ~= "integer" or type(row.hash) ~= "string" then
      errors.raise("config", { message = "the tracking table does not have Drizzle's columns (id, hash, created_at)" })
    end
    if kind(row.created_at) ~= "integer" then row.created_at = nil end
    if id < last then sorted = false end
    last = id
  end
  if not sorted then table.sort(rows, by_id) end
  return rows
end

return M
