---The table locks that a statement takes on what exists already, as far as its tree tells (manual, 13.3; for ALTER TABLE
---AlterTableGetLockLevel). What only the catalogue knows is not in it: the tables at the other end of a dropped foreign
---key, what CASCADE reaches, what a function or a DO block does.
local tree = require "migrator.plan.tree"

local M = {}

---@class migrator.Lock
---@field object string the relation's name as the statement has it
---@field mode string such as ACCESS EXCLUSIVE
---@field type string "table", "index", "view", "sequence", "materialized view", "foreign table"; LOCK TABLE takes tables and views
---@field table_too boolean|nil of an index: the same lock is taken on its table, whose name the statement does not tell

local AS, RS, RE, SUE = "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE"
local S, SRE, E, AE = "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"
local MODES = { AS, RS, RE, SUE, S, SRE, E, AE }
local RANK = {}
for rank, mode in ipairs(MODES) do RANK[mode] = rank end

---Is a at least as strong as b?
---@param a string
---@param b string
function M.covers(a, b) return RANK[a] >= RANK[b] end

local TYPES = { OBJECT_TABLE = "table", OBJECT_INDEX = "index", OBJECT_VIEW = "view", OBJECT_SEQUENCE = "sequence",
  OBJECT_MATVIEW = "materialized view", OBJECT_FOREIGN_TABLE = "foreign table", OBJECT_COLUMN = "table",
  OBJECT_TABCONSTRAINT = "table", OBJECT_TRIGGER = "table", OBJECT_POLICY = "table", OBJECT_RULE = "table" }
local OF_TABLE = { OBJECT_TRIGGER = true, OBJECT_POLICY = true, OBJECT_RULE = true, OBJECT_TABCONSTRAINT = true,
  OBJECT_COLUMN = true }

-- Everything else that ALTER TABLE does takes ACCESS EXCLUSIVE.
local ALTER = {
  AT_ValidateConstraint = SUE, AT_SetStatistics = SUE, AT_ClusterOn = SUE, AT_DropCluster = SUE,
  AT_AttachPartition = SUE, AT_SetOptions = SUE, AT_ResetOptions = SUE, AT_DetachPartitionFinalize = SUE,
  AT_EnableTrig = SRE, AT_EnableAlwaysTrig = SRE, AT_EnableReplicaTrig = SRE, AT_EnableTrigAll = SRE,
  AT_EnableTrigUser = SRE, AT_DisableTrig = SRE, AT_DisableTrigAll = SRE, AT_DisableTrigUser = SRE,
}
-- Storage parameters that do not: all but those that change what a query sees.
local STRONG_OPTIONS = { user_catalog_table = true, security_barrier = true, security_invoker = true,
  check_option = true, fastupdate = true, gin_pending_list_limit = true, buffering = true, pages_per_range = true,
  autosummarize = true, length = true }

local function option_mode(cmd)
  for _, item in ipairs(cmd.def and cmd.def.List and cmd.def.List.items or {}) do
    if STRONG_OPTIONS[item.DefElem.defname] then return AE end
  end
  return SUE
end

local function foreign_keys(constraints, add)
  local found = false
  for _, item in ipairs(constraints or {}) do
    local constraint = item.Constraint
    if constraint and constraint.contype == "CONSTR_FOREIGN" then
      add(SRE, constraint.pktable)
      found = true
    end
  end
  return found
end

local function alter_mode(cmd, add)
  local def = cmd.def or {}
  local partition = def.PartitionCmd
  if cmd.subtype == "AT_AddConstraint" and foreign_keys({ def }, add) then return SRE end
  if cmd.subtype == "AT_AddColumn" then foreign_keys(def.ColumnDef and def.ColumnDef.constraints, add) end
  if cmd.subtype == "AT_SetRelOptions" or cmd.subtype == "AT_ResetRelOptions" then return option_mode(cmd) end
  if cmd.subtype == "AT_AddInherit" then add(SUE, def.RangeVar) end
  if cmd.subtype == "AT_DropInherit" then add(AS, def.RangeVar) end
  if partition and partition.name then
    add(cmd.subtype == "AT_DetachPartitionFinalize" and AE or partition.concurrent and SUE or AE, partition.name)
  end
  if cmd.subtype == "AT_DetachPartition" and partition and partition.concurrent then return SUE end
  return ALTER[cmd.subtype] or AE
end

local HANDLERS = {}

local function on_relation(mode) return function(node, add) add(mode, node.relation) end end

local function on_list(mode, field, type_of)
  return function(node, add)
    for _, item in ipairs(node[field] or {}) do
      local range = item.RangeVar or item.VacuumRelation and item.VacuumRelation.relation
        or item.PublicationObjSpec and item.PublicationObjSpec.pubtable and item.PublicationObjSpec.pubtable.relation
      if range then add(type(mode) == "function" and mode(node) or mode, range, type_of) end
    end
  end
end

function HANDLERS.AlterTableStmt(node, add)
  if not TYPES[node.objtype] then return end
  local mode, others = AS, {}
  local function add_later(...) others[#others + 1] = { ... } end
  for _, item in ipairs(node.cmds) do
    local own = alter_mode(item.AlterTableCmd, add_later)
    if RANK[own] > RANK[mode] then mode = own end
  end
  add(mode, node.relation, TYPES[node.objtype])
  for _, other in ipairs(others) do add(other[1], other[2], TYPES[node.objtype]) end
end

function HANDLERS.IndexStmt(node, add) add(node.concurrent and SUE or S, node.relation) end

function HANDLERS.CreateTrigStmt(node, add)
  add(SRE, node.relation)
  if node.constrrel then add(AS, node.constrrel) end
end

HANDLERS.RuleStmt = on_relation(AE)
HANDLERS.AlterSeqStmt = function(node, add) add(SRE, node.sequence, "sequence") end
HANDLERS.CreatePolicyStmt = function(node, add) add(AE, node.table) end
HANDLERS.AlterPolicyStmt = HANDLERS.CreatePolicyStmt
HANDLERS.CreateStatsStmt = on_list(SUE, "relations")
HANDLERS.CreatePublicationStmt = on_list(SUE, "pubobjects")
HANDLERS.AlterPublicationStmt = HANDLERS.CreatePublicationStmt
HANDLERS.TruncateStmt = on_list(AE, "relations")
HANDLERS.LockStmt = on_list(function(node) return MODES[node.mode] end, "relations")

local function relation_object(mode_of)
  return function(node, add)
    local object_type = node.renameType or node.objectType
    if TYPES[object_type] and node.relation then
      add(mode_of(object_type), node.relation, TYPES[node.relationType] and object_type == "OBJECT_COLUMN"
        and TYPES[node.relationType] or TYPES[object_type])
    end
  end
end

HANDLERS.RenameStmt = relation_object(function(what) return what == "OBJECT_INDEX" and SUE or AE end)
HANDLERS.AlterObjectSchemaStmt = relation_object(function() return AE end)

---The relation that an object's name leads to: of a trigger, policy, rule or column its table.
local function owner_name(object, object_type)
  local parts = tree.parts(object)
  if OF_TABLE[object_type] then table.remove(parts) end
  return table.concat(parts, ".")
end

function HANDLERS.DropStmt(node, add)
  local type_of = TYPES[node.removeType]
  if not type_of then return end
  for _, object in ipairs(node.objects) do
    add(node.concurrent and SUE or AE, owner_name(object, node.removeType), type_of, type_of == "index")
  end
end

local function comment_lock(node, add)
  local type_of = TYPES[node.objtype]
  local weak = OF_TABLE[node.objtype] and node.objtype ~= "OBJECT_COLUMN"
  if type_of then add(weak and AS or SUE, owner_name(node.object, node.objtype), type_of) end
end
HANDLERS.CommentStmt, HANDLERS.SecLabelStmt = comment_lock, comment_lock

local function has_option(node, name)
  for _, item in ipairs(node.options or node.params or {}) do
    local option = item.DefElem
    local value = option.arg and option.arg.String and option.arg.String.sval or "on"
    if option.defname == name and not (value == "off" or value == "false") then return true end
  end
  return false
end

HANDLERS.VacuumStmt = on_list(function(node) return has_option(node, "full") and AE or SUE end, "rels")
function HANDLERS.ClusterStmt(node, add) if node.relation then add(AE, node.relation) end end

function HANDLERS.ReindexStmt(node, add)
  if not node.relation then return end
  local concurrent = has_option(node, "concurrently")
  local index = node.kind == "REINDEX_OBJECT_INDEX"
  add(concurrent and SUE or index and AE or S, node.relation, index and "index" or "table")
end

function HANDLERS.RefreshMatViewStmt(node, add)
  add(node.concurrent and E or AE, node.relation, "materialized view")
end

---A new table locks nothing but what it refers to, hangs from or is made like.
function HANDLERS.CreateStmt(node, add)
  for _, parent in ipairs(node.inhRelations or {}) do add(node.partbound and AE or SUE, parent.RangeVar) end
  for _, element in ipairs(node.tableElts or {}) do
    foreign_keys(element.Constraint and { element } or element.ColumnDef and element.ColumnDef.constraints, add)
    if element.TableLikeClause then add(AS, element.TableLikeClause.relation) end
  end
end
function HANDLERS.CreateForeignTableStmt(node, add) HANDLERS.CreateStmt(node.base or node.baseStmt or {}, add) end

function HANDLERS.ViewStmt(node, add)
  if node.replace then add(AE, node.view, "view") end
  tree.each_relation("SelectStmt", node.query, function(range) add(AS, range) end)
end
function HANDLERS.CreateTableAsStmt(node, add)
  tree.each_relation("CreateTableAsStmt", { query = node.query }, function(range) add(AS, range) end)
end

local function query_locks(kind)
  return function(node, add)
    tree.each_relation(kind, node, function(range, role)
      add(role == "target" and RE or role == "locked" and RS or AS, range)
    end)
  end
end
for _, kind in ipairs { "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "SelectStmt" } do
  HANDLERS[kind] = query_locks(kind)
end
function HANDLERS.CopyStmt(node, add)
  if node.relation then add(node.is_from and RE or AS, node.relation) end
  if node.query then query_locks("CopyStmt")({ query = node.query }, add) end
end

---@param kind string|nil of plan.tree.parse
---@param node table|string
---@return migrator.Lock[] each relation once, with the strongest mode, in the order of the statement
function M.of(kind, node)
  local out, by_name = {}, {}
  local handler = kind and HANDLERS[kind]
  if not handler then return out end
  handler(node, function(mode, relation, type_of, table_too)
    local name = type(relation) == "string" and relation or tree.relation(relation)
    local known = by_name[tree.key(name)]
    if not known then
      known = { object = name, mode = mode, type = type_of or "table", table_too = table_too or nil }
      by_name[tree.key(name)], out[#out + 1] = known, known
    elseif RANK[mode] > RANK[known.mode] then
      known.mode = mode
    end
  end)
  return out
end

---The strongest lock that statements of one transaction take on each relation that was there before them.
---@param statements { text: string }[]
---@return migrator.Lock[] in the order of their first use
---@return { text: string }[] unreadable those that our parser does not know
function M.all(statements)
  local out, by_name, made, unreadable = {}, {}, {}, {}
  for _, statement in ipairs(statements) do
    local kind, node = tree.parse(statement.text)
    if not kind then unreadable[#unreadable + 1] = statement end
    for _, lock in ipairs(M.of(kind, node)) do
      local key = tree.key(lock.object)
      local known = by_name[key]
      if known and RANK[lock.mode] > RANK[known.mode] then known.mode = lock.mode end
      if not known and not made[key] then by_name[key], out[#out + 1] = lock, lock end
    end
    for _, name in ipairs(tree.made(kind, node)) do made[tree.key(name)] = true end
  end
  return out, unreadable
end

return M
