---Emptying a tier's own tables, and never a row of anybody else's.
local errors = require "migrator.error"
local values = require "migrator.seed.values"

local M = {}

-- Tables that refer to one of ours, and those that take part in it by inheritance.
local STRANGERS = [[
select c.conrelid::regclass::text as other, c.confrelid::regclass::text as own, c.conname::text as name
from pg_catalog.pg_constraint c
where c.contype = 'f' and c.confrelid = any($1::oid[]) and c.conrelid <> all($1::oid[]) and c.conparentid = 0
union all select i.inhrelid::regclass::text, i.inhparent::regclass::text, 'inherits'
from pg_catalog.pg_inherits i join pg_catalog.pg_class k on k.oid = i.inhrelid
where i.inhparent = any($1::oid[]) and i.inhrelid <> all($1::oid[]) and not k.relispartition
order by 1, 3 limit 1]]

---@param conn migrator.Conn
---@param counts migrator.SeedCounts
---@param names string[]
---@param allowed string[] what the tier declares
function M.run(conn, counts, names, allowed)
  local own = {}
  for _, name in ipairs(allowed) do own[name] = true end
  local quoted, oids = {}, {}
  for i, name in ipairs(names) do
    if not own[name] then
      errors.raise("seed", { message = ("table %s is not this tier's to empty"):format(name),
        hint = "a tier empties only what `truncates` of its declaration lists" })
    end
    local info = values.table(conn, name)
    quoted[i], oids[i] = info.quoted, info.oid
  end
  if #names == 0 then return end
  local stranger = conn:row(STRANGERS, values.array(oids))
  if stranger then
    errors.raise("seed",
      { message = ("cannot empty %s: %s refers to it (%s) and is not among the tables to empty"):format(
      stranger.own, stranger.other, stranger.name),
        hint = ("add %s to `truncates` if its rows may go too"):format(stranger.other) })
  end
  for i, name in ipairs(names) do counts:add(name, "truncated", conn:value("select count(*) from " .. quoted[i])) end
  conn:exec("truncate " .. table.concat(quoted, ", "))
end

return M
