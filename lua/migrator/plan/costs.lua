---What a statement takes of the server's lock table, read off it; plan/capacity.lua adds it up. What statements cost was
---measured on PostgreSQL 15 (spec/integration/segments_spec.lua measures it again); it is read off the JSON text of the
---parse tree, since decoding thousands of trees would take longer than all of the planning. An upper bound for what the
---statement says; what only the catalogue knows (partitions, what CASCADE reaches) is guessed.
local sql = require "migrator.core.sql"

local M = {}

---@class migrator.LockCounter what costs are told to (plan/capacity.lua)
---@field once fun(self: table, key: string, weight?: integer) an object, which costs once
---@field add fun(self: table, weight: integer)
---@field made fun(self: table, relation: string) a table that the transaction makes
---@field rows fun(self: table, relation: string) its rows are read or written

local LONGEST_NAME = 512

---Calls fn with the string behind each occurrence of a prefix. Plain searches: a pattern would look at every byte; and
---no prefix begins with a quote, since each would be looked at.
local function each_string(json, prefix, fn)
  local first, last = json:find(prefix, 1, true)
  while first do
    fn(json:match('^[^"]*', last + 1), first)
    first, last = json:find(prefix, last, true)
  end
end

local function each_relation(json, fn)
  each_string(json, 'relname":"', function(name, first)
    if json:byte(first - 2) == 44 then -- a comma: the schema is before it
      local schema = json:sub(math.max(1, first - LONGEST_NAME), first - 2):match('"schemaname":"([^"]*)",$')
      if schema and schema ~= "public" then name = schema .. "." .. name end
    end
    fn(name)
  end)
end

local function count(json, text)
  local found, at = 0, 1
  while true do
    local first, last = json:find(text, at, true)
    if not first then return found end
    found, at = found + 1, last + 1
  end
end

local OTHER = 4
-- What a statement costs besides the relations, types and roles that it names.
local FLAT = {
  CreateEnumStmt = 2, CompositeTypeStmt = 3, CreateRangeStmt = 5, CreateDomainStmt = 3,
  CreateTrigStmt = 1, CreateSeqStmt = 2, AlterSeqStmt = 2, CreateSchemaStmt = 1, CreatePolicyStmt = 0,
  AlterPolicyStmt = 0, RuleStmt = 0, ViewStmt = 2, GrantStmt = 0, RenameStmt = 0,
  VariableSetStmt = 0, TransactionStmt = 1, SelectStmt = 0, InsertStmt = 0, UpdateStmt = 0, DeleteStmt = 0, DoStmt = 6,
  CreateTableAsStmt = 5, RefreshMatViewStmt = 12, AlterEnumStmt = 1, AlterObjectSchemaStmt = 8, AlterOwnerStmt = 2,
  TruncateStmt = 8, CreateRoleStmt = 2, CallStmt = 12, CreateStatsStmt = 1, LockStmt = 0, CreatePublicationStmt = 2,
  ClusterStmt = 12, ReindexStmt = 8,
}
local EXTENSION, LARGE_EXTENSION, CASCADE, UNREADABLE = 120, 1200, 30, 12
local LARGE = { postgis = true, timescaledb = true, postgis_topology = true, postgis_raster = true, pgrouting = true }

-- Each dropped object of a type: its own entries, its constraints, types, defaults, triggers.
local DROPS = { OBJECT_TABLE = 14, OBJECT_VIEW = 5, OBJECT_MATVIEW = 8, OBJECT_INDEX = 4, OBJECT_SEQUENCE = 3,
  OBJECT_TYPE = 3, OBJECT_DOMAIN = 3, OBJECT_SCHEMA = 2, OBJECT_EXTENSION = EXTENSION, OBJECT_FOREIGN_TABLE = 8 }
local ALTERS = { AT_DropColumn = 9, AT_DropConstraint = 8, AT_AlterColumnType = 16, AT_ChangeOwner = 8,
  AT_SetLogged = 14, AT_SetUnLogged = 14, AT_AttachPartition = 12, AT_DetachPartition = 8, AT_SetTableSpace = 6,
  AT_AddInherit = 4, AT_AddIndexConstraint = 2, AT_AddIdentity = 2, AT_AddOf = 2, AT_SetRelOptions = 1 }

local CONSTRAINTS = { CONSTR_PRIMARY = 2, CONSTR_UNIQUE = 2, CONSTR_EXCLUSION = 2, CONSTR_FOREIGN = 3,
  CONSTR_IDENTITY = 1 }

local function add_constraints(counter, json)
  each_string(json, 'contype":"', function(contype) counter:add(CONSTRAINTS[contype] or 0) end)
end

-- Types that are not the catalogue's cost one entry for all their uses; some of the names here are, which hardly matters.
local function add_types(counter, json)
  each_string(json, 'names":[{"String":{"sval":"', function(name)
    if name:find("serial", 1, true) then
      counter:add(2)
    elseif name ~= "pg_catalog" then
      counter:once("type " .. name)
    end
  end)
end

local HANDLERS = {}

function HANDLERS.IndexStmt(counter, json) counter:add(1 + count(json, 'funcname"')) end

function HANDLERS.CreateStmt(counter, json, relation)
  if relation then
    counter:once("storage " .. relation, 3) -- its type, its toast table and that one's index
    counter:made(relation)
  end
  add_constraints(counter, json)
  add_types(counter, json)
  if json:find('TableLikeClause"', 1, true) then counter:add(12) end
  if json:find('partbound"', 1, true) then counter:add(12) end -- the indexes of its parent, on both sides
end
HANDLERS.CreateForeignTableStmt = HANDLERS.CreateStmt

function HANDLERS.AlterTableStmt(counter, json, relation)
  if relation then counter:once("storage " .. relation, 3) end
  add_constraints(counter, json)
  each_string(json, 'subtype":"', function(subtype) counter:add(ALTERS[subtype] or 0) end)
  if json:find('AT_AddColumn"', 1, true) then
    add_types(counter, json)
    -- A default that is a call may be volatile: the table is written anew, with its indexes.
    if json:find("CONSTR_DEFAULT.-FuncCall") or json:find("serial", 1, true) then counter:add(12) end
  end
end

function HANDLERS.DropStmt(counter, json)
  local remove_type = json:match('"removeType":"(.-)"')
  local names = json:match('"objects":(%[.*%]),"removeType"') or ""
  local objects = count(names, '{"List":') + count(names, '{"TypeName":') + count(names, '{"ObjectWithArgs":')
  counter:add(math.max(1, objects) * (DROPS[remove_type] or OTHER))
  if json:find("DROP_CASCADE", 1, true) then counter:add(CASCADE) end
end

function HANDLERS.CreateFunctionStmt(counter, json)
  counter:add(2)
  add_types(counter, json)
end

---Many comments are about the columns of one table.
function HANDLERS.CommentStmt(counter, json)
  local object = json:match('"object":(%b{})') or ""
  counter:once("pg_description")
  counter:once("comment " .. object:gsub(',{"String":{"sval":"[^"]*"}}%]', "]"))
end

function HANDLERS.CreateExtensionStmt(counter, json)
  counter:add(LARGE[json:match('"extname":"(.-)"') or ""] and LARGE_EXTENSION or EXTENSION)
end

-- What else reading and writing a table takes: its indexes, the tables of its foreign keys, its sequences.
local WITH_INDEXES = { InsertStmt = true, UpdateStmt = true, DeleteStmt = true, SelectStmt = true, MergeStmt = true,
  CreateTableAsStmt = true, RefreshMatViewStmt = true }

local INSERT = '^[Ii][Nn][Ss][Ee][Rr][Tt]%s+[Ii][Nn][Tt][Oo]%s+("?[%w_."$\128-\255]+)'

-- Rows are what most INSERTs consist of; only one that reads other tables is worth a parse.
local function insert_target(statement)
  if not statement.words:find("^INSERT INTO") or statement.text:sub(1, 8192):find("[Ss][Ee][Ll][Ee][Cc][Tt]") then
    return nil
  end
  return statement.text:match(INSERT)
end

local function read_tree(counter, statement, json, kind)
  local first
  each_relation(json, function(name)
    first = first or name
    counter:once(name)
    if WITH_INDEXES[kind] then counter:rows(name) end
  end)
  each_string(json, 'rolename":"', function(role) counter:once("role " .. role) end)
  local handler = HANDLERS[kind]
  if handler then handler(counter, json, first) else counter:add(FLAT[kind] or OTHER) end
  if kind == "DoStmt" then counter:add(8 * count(statement.text:upper(), "CREATE TABLE")) end
end

---@param statement migrator.Statement
---@param counter migrator.LockCounter
function M.read(statement, counter)
  local target = insert_target(statement)
  if target then
    target = target:gsub('"', ""):gsub("^public%.", "")
    counter:once(target)
    return counter:rows(target)
  end
  local json = sql.parse_json(statement.text)
  local kind = json and json:match('"stmt":{"(%w+)":')
  if kind then
    read_tree(counter, statement, json, kind)
  else
    counter:add(statement.words:find("^CREATE EXTENSION") and EXTENSION or UNREADABLE)
  end
end

return M
