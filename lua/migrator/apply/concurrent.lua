---What a dead CONCURRENTLY leaves behind, and how to tell that it was done after all. It commits several times by
---itself, so only the catalogue knows: an INVALID index, which IF NOT EXISTS would hide for ever; a partition that is
---half detached. The same question for what cannot be in a transaction and makes, or takes away, one row of a catalogue.
local cjson = require "cjson"
local db = require "migrator.db"
local sql = require "migrator.core.sql"

local M = {}

local function regclass(schema, name)
  local quoted = sql.quote_ident(name)
  return schema and sql.quote_ident(schema) .. "." .. quoted or quoted
end

local function of_relation(relation) return regclass(relation.schemaname, relation.relname) end

---@class migrator.Concurrent
---@field does "create"|"drop"|"detach"|"reindex"|"row"
---@field name string|nil nil for an index whose name the server chooses
---@field regclass string
---@field parent? string of a partition, or the table of an index
---@field schema? string of REINDEX SCHEMA

local READERS = {}

function READERS.IndexStmt(node)
  if not node.concurrent then return nil end
  return { does = "create", name = node.idxname, parent = of_relation(node.relation) }
end

function READERS.DropStmt(node)
  local list = node.concurrent and node.objects and node.objects[1] and node.objects[1].List
  if not list then return nil end
  local parts = {}
  for i, item in ipairs(list.items) do parts[i] = item.String.sval end
  return { does = "drop", name = parts[#parts], regclass = regclass(parts[#parts - 1], parts[#parts]) }
end

function READERS.AlterTableStmt(node)
  local command = node.cmds and node.cmds[1] and node.cmds[1].AlterTableCmd
  local part = command and command.subtype == "AT_DetachPartition" and command.def.PartitionCmd
  if not part or not part.concurrent then return nil end
  return { does = "detach", name = part.name.relname, regclass = of_relation(part.name),
    parent = of_relation(node.relation) }
end

function READERS.ReindexStmt(node)
  local relation = node.relation
  if relation then return { does = "reindex", name = relation.relname, regclass = of_relation(relation) } end
  return { does = "reindex", name = node.name, schema = node.kind == "REINDEX_OBJECT_SCHEMA" and node.name or nil }
end

for kind, row in pairs {
  CreatedbStmt = { "pg_database", "datname", "dbname", "valid" },
  DropdbStmt = { "pg_database", "datname", "dbname", "absent" },
  CreateTableSpaceStmt = { "pg_tablespace", "spcname", "tablespacename", "valid" },
  DropTableSpaceStmt = { "pg_tablespace", "spcname", "tablespacename", "absent" },
  CreateSubscriptionStmt = { "pg_subscription", "subname", "subname", "valid" },
  DropSubscriptionStmt = { "pg_subscription", "subname", "subname", "absent" },
} do
  READERS[kind] = function(node)
    return { does = "row", name = node[row[3]], catalog = row[1], column = row[2], wanted = row[4] }
  end
end

---@param text string of a statement that cannot be in a transaction
---@return migrator.Concurrent|nil
function M.find(text)
  local json = sql.parse_json(text)
  local ok, tree = pcall(cjson.decode, json or "")
  local node = ok and tree.stmts and tree.stmts[1] and tree.stmts[1].stmt
  for name, reader in pairs(READERS) do
    if node and node[name] then return reader(node[name]) end
  end
end

-- Of a table: the one of a name, or those that are new.
local INDEXES = [[
select c.oid::int8 as id, pg_catalog.format('%I.%I', n.nspname, c.relname) as regclass, c.relname::text as name,
  i.indisvalid as valid
from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where i.indrelid = pg_catalog.to_regclass($1) and coalesce(c.relname = $2, c.oid::int8 <> all ($3::int8[]))
order by c.oid]]

---The indexes that a CREATE INDEX CONCURRENTLY made, or may have made.
local function made(conn, what, before)
  if not what.name and not before then return {} end
  return conn:exec(INDEXES, what.parent, what.name or db.null, "{" .. (what.name and "" or before) .. "}")
end

---@return "absent"|"valid"|"invalid"
local function state_of(conn, what)
  if what.does == "create" then
    local index = made(conn, what)[1]
    return not index and "absent" or index.valid and "valid" or "invalid"
  elseif what.does == "row" then
    local there = conn:value(("select exists (select 1 from pg_catalog.%s where %s = $1)"):format(what.catalog,
      what.column), what.name)
    return there and "valid" or "absent"
  end
  return conn:value("select pg_catalog.to_regclass($1) is null", what.regclass) and "absent" or "valid"
end

---@return "attached"|"pending"|"detached"
local function state_of_partition(conn, part)
  local row = conn:row("select coalesce(to_jsonb(i)->>'inhdetachpending', 'false') = 'true' as pending "
    .. "from pg_catalog.pg_inherits i where inhrelid = pg_catalog.to_regclass($1) "
    .. "and inhparent = pg_catalog.to_regclass($2)", part.regclass, part.parent)
  if not row then return "detached" end
  return row.pending and "pending" or "attached"
end

-- What REINDEX CONCURRENTLY builds beside the old index, or has yet to drop.
local LEFT_OVERS = [[
select c.oid::int8 as id, pg_catalog.format('%I.%I', n.nspname, c.relname) as regclass, c.relname::text as name
from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$' and n.nspname !~ '^pg_'
  and n.nspname = coalesce($2, n.nspname) and ($1::text is null or i.indrelid = pg_catalog.to_regclass($1)
    or i.indrelid = (select indrelid from pg_catalog.pg_index where indexrelid = pg_catalog.to_regclass($1)))
order by c.oid]]

---How things are before the statement begins, for the note of progress: what was so already, it did not do.
---@param conn migrator.Conn
---@param what migrator.Concurrent|nil
---@return string
function M.before(conn, what)
  if not what then return "" end
  if what.does == "detach" then return state_of_partition(conn, what) end
  local nameless = what.does == "create" and not what.name
  if what.does ~= "reindex" and not nameless then return state_of(conn, what) end
  local ids = {}
  local found = nameless and made(conn, what, "") or conn:exec(LEFT_OVERS, what.regclass, what.schema)
  for i, index in ipairs(found) do ids[i] = ("%d"):format(index.id) end
  return table.concat(ids, ",")
end

---Drops, CONCURRENTLY, the INVALID indexes that a try left.
---@param conn migrator.Conn outside a transaction
---@param what migrator.Concurrent
---@param before string|nil what M.before said when it was begun; nil: it was not
---@return string[] names of what was dropped
function M.clear(conn, what, before)
  local found = {}
  if what.does == "create" then
    for _, index in ipairs(made(conn, what, before)) do
      if not index.valid then found[#found + 1] = index end
    end
  elseif what.does == "reindex" and before then
    for _, index in ipairs(conn:exec(LEFT_OVERS, what.regclass, what.schema)) do
      if not ("," .. before .. ","):find((",%d,"):format(index.id), 1, true) then found[#found + 1] = index end
    end
  end
  local names = {}
  for i, index in ipairs(found) do
    conn:script("drop index concurrently if exists " .. index.regclass)
    names[i] = index.name
  end
  return names
end

---Is it a partition whose detaching was begun? Whoever began it, only FINALIZE is left to do.
---@param conn migrator.Conn
---@param what migrator.Concurrent
---@return boolean
function M.is_pending(conn, what) return what.does == "detach" and state_of_partition(conn, what) == "pending" end

---Is the work of the statement done? Half a DETACH is finished here.
---@param conn migrator.Conn outside a transaction
---@param what migrator.Concurrent
---@param before string|nil what M.before said when it was begun
---@return boolean done it is not to be run again
function M.finish(conn, what, before)
  if what.does == "create" and not what.name then return #made(conn, what, before) > 0 end
  if what.does == "create" then return before ~= "valid" and state_of(conn, what) == "valid" end
  if what.does == "drop" then return before ~= "absent" and state_of(conn, what) == "absent" end
  if what.does == "row" then return before ~= what.wanted and state_of(conn, what) == what.wanted end
  if what.does ~= "detach" then return false end -- REINDEX can be done again
  local state = state_of_partition(conn, what)
  if state == "pending" then
    conn:script(("alter table %s detach partition %s finalize"):format(what.parent, what.regclass))
    return true
  end
  return before ~= "detached" and state == "detached"
end

return M
