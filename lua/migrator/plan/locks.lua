---The strongest table lock that a statement takes on what exists already, as far as its tree tells (manual, 13.3).
local tree = require "migrator.plan.tree"

local M = {}

local AE, SRE, SUE, RE = "ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "ROW EXCLUSIVE"
local RANK = { [RE] = 1, [SUE] = 2, SHARE = 3, [SRE] = 4, EXCLUSIVE = 5, [AE] = 6 }
local MODES = { "ACCESS SHARE", "ROW SHARE", RE, SUE, "SHARE", SRE, "EXCLUSIVE", AE }

-- Everything else that ALTER TABLE does takes ACCESS EXCLUSIVE.
local ALTER = {
  AT_ValidateConstraint = SUE, AT_SetStatistics = SUE, AT_ClusterOn = SUE, AT_DropCluster = SUE,
  AT_AttachPartition = SUE, AT_SetOptions = SUE, AT_ResetOptions = SUE, AT_EnableTrig = SRE, AT_EnableAlwaysTrig = SRE,
  AT_EnableReplicaTrig = SRE, AT_EnableTrigAll = SRE, AT_EnableTrigUser = SRE, AT_DisableTrig = SRE,
  AT_DisableTrigAll = SRE, AT_DisableTrigUser = SRE,
}

local function alter_mode(cmd)
  local constraint = cmd.subtype == "AT_AddConstraint" and cmd.def and cmd.def.Constraint
  if constraint and constraint.contype == "CONSTR_FOREIGN" then return SRE end
  local partition = cmd.def and cmd.def.PartitionCmd
  if cmd.subtype == "AT_DetachPartition" and partition and partition.concurrent then return SUE end
  return ALTER[cmd.subtype] or AE
end

local function relation_lock(mode)
  return function(node) return mode, node.relation and tree.relation(node.relation) end
end

local HANDLERS = {
  CreateTrigStmt = relation_lock(SRE), RuleStmt = relation_lock(AE), RenameStmt = relation_lock(AE),
  InsertStmt = relation_lock(RE), UpdateStmt = relation_lock(RE), DeleteStmt = relation_lock(RE),
  AlterObjectSchemaStmt = relation_lock(AE),
}

function HANDLERS.AlterTableStmt(node)
  local mode = RE
  for _, item in ipairs(node.cmds) do
    local own = alter_mode(item.AlterTableCmd)
    if RANK[own] > RANK[mode] then mode = own end
  end
  return mode, tree.relation(node.relation)
end

function HANDLERS.IndexStmt(node) return node.concurrent and SUE or "SHARE", tree.relation(node.relation) end

local function policy_lock(node) return AE, tree.relation(node.table) end
HANDLERS.CreatePolicyStmt, HANDLERS.AlterPolicyStmt = policy_lock, policy_lock

local LOCKING = { OBJECT_TABLE = true, OBJECT_INDEX = true, OBJECT_VIEW = true, OBJECT_MATVIEW = true,
  OBJECT_TRIGGER = true, OBJECT_POLICY = true, OBJECT_RULE = true, OBJECT_SEQUENCE = true, OBJECT_FOREIGN_TABLE = true }
local OF_TABLE = { OBJECT_TRIGGER = true, OBJECT_POLICY = true, OBJECT_RULE = true }

function HANDLERS.DropStmt(node)
  if not LOCKING[node.removeType] then return nil end
  local parts = tree.parts(node.objects[1])
  if OF_TABLE[node.removeType] then table.remove(parts) end
  return node.concurrent and SUE or AE, table.concat(parts, ".")
end

function HANDLERS.TruncateStmt(node) return AE, tree.relation(node.relations[1].RangeVar) end
function HANDLERS.RefreshMatViewStmt(node)
  return node.concurrent and "EXCLUSIVE" or AE, tree.relation(node.relation)
end
function HANDLERS.LockStmt(node) return MODES[node.mode], tree.relation(node.relations[1].RangeVar) end

---A new table locks nothing but what its foreign keys refer to.
function HANDLERS.CreateStmt(node)
  for _, element in ipairs(node.tableElts or {}) do
    local constraints = element.Constraint and { element } or element.ColumnDef and element.ColumnDef.constraints or {}
    for _, item in ipairs(constraints) do
      if item.Constraint.contype == "CONSTR_FOREIGN" then return SRE, tree.relation(item.Constraint.pktable) end
    end
  end
end

---@param kind string|nil of plan.tree.parse
---@param node table|string
---@return string|nil mode, string|nil object
function M.find(kind, node)
  local handler = kind and HANDLERS[kind]
  if not handler then return nil end
  return handler(node)
end

return M
