---The rules of plan/danger.lua, statement by statement: what it does to tables that are in use. Pure.
local advice = require "migrator.plan.advice"
local locks = require "migrator.plan.locks"
local rewrite = require "migrator.plan.rewrite"

local M = {}

local function column_of(relation, name)
  return relation.own.columns[name] or relation.facts and relation.facts.columns[name]
end

local ALTER, HANDLERS = {}, {}

local function add_column_constraints(run, relation, column)
  local name = relation.name .. "." .. column.name
  if #column.checks > 0 then
    run:add("scan-under-lock", relation, ("adds a CHECK with %s"):format(name), "constraint")
  end
  if #column.references > 0 and column.default then
    run:add("scan-under-lock", relation, ("adds a foreign key with %s and its default"):format(name), "constraint")
  end
  if column.primary or column.unique then
    run:add("unique-builds-index", relation, ("adds %s as %s"):format(name, column.primary and "PRIMARY KEY"
      or "UNIQUE"), column.primary and "primary" or "unique")
  end
end

function ALTER.AT_AddColumn(run, relation, cmd)
  local column = rewrite.column(cmd.def.ColumnDef)
  if cmd.missing_ok and column_of(relation, column.name) then return end
  local name = relation.name .. "." .. column.name
  local volatile = column.default and rewrite.find_volatile(column.default, run.facts.volatile)
  if column.serial or column.identity then
    run:add("rewrite", relation, ("adds %s, which numbers every row"):format(name), "numbered")
  elseif column.generated then
    run:add("rewrite", relation, ("adds %s, a stored generated column"):format(name), "generated")
  elseif volatile then
    run:add("rewrite", relation, ("adds %s with the volatile default %s()"):format(name, volatile), "volatile")
  elseif column.not_null and not column.default then
    run:add("add-column-not-null", relation, ("adds %s as %s without a default"):format(name, column.primary
      and "PRIMARY KEY" or "NOT NULL"), "not_null")
  end
  add_column_constraints(run, relation, column)
  relation.own.columns[column.name] = { type = column.type, not_null = column.not_null }
end

function ALTER.AT_AlterColumnType(run, relation, cmd)
  local def, known = cmd.def.ColumnDef, column_of(relation, cmd.name)
  local to = rewrite.type_of(def.typeName)
  local using = def.raw_default and not rewrite.is_plain_using(def.raw_default, cmd.name, to)
  if using or not known or rewrite.is_needed(known.type, to, run.facts.zone) then
    run:add("rewrite", relation, ("changes the type of %s.%s %sto %s%s"):format(relation.name, cmd.name,
      known and "from " .. rewrite.type_text(known.type) .. " " or "", rewrite.type_text(to),
      using and " by an expression" or ""), "type")
  end
  relation.own.columns[cmd.name] = { type = to, not_null = known and known.not_null or false }
end

function ALTER.AT_SetNotNull(run, relation, cmd)
  local known = column_of(relation, cmd.name)
  if known and known.not_null then return end
  for name, check in pairs(relation.facts and relation.facts.checks or {}) do
    if not relation.own.checks[name] and check.valid and check.columns[cmd.name] then return end
  end
  for _, check in pairs(relation.own.checks) do
    if check.valid and check.columns[cmd.name] then return end
  end
  run:add("scan-under-lock", relation, ("sets %s.%s NOT NULL"):format(relation.name, cmd.name), "set_not_null")
end

local INDEXED = { CONSTR_PRIMARY = { "a PRIMARY KEY", "primary" }, CONSTR_UNIQUE = { "a UNIQUE constraint", "unique" },
  CONSTR_EXCLUSION = { "an exclusion constraint", "exclusion" } }

function ALTER.AT_AddConstraint(run, relation, cmd)
  local constraint = cmd.def.Constraint
  local indexed, name = INDEXED[constraint.contype], constraint.conname
  if indexed then
    if not constraint.indexname then
      run:add("unique-builds-index", relation, ("adds %s to %s"):format(indexed[1], relation.name), indexed[2])
    end
    return
  end
  local foreign = constraint.contype == "CONSTR_FOREIGN"
  if not foreign and constraint.contype ~= "CONSTR_CHECK" then return end
  if not constraint.skip_validation then
    run:add("scan-under-lock", relation, ("adds %s to %s"):format(foreign and "a foreign key" or "a CHECK",
      relation.name), "constraint")
  elseif name then
    run.unvalidated[relation.key .. " " .. name] = run.seen
  end
  if name and not foreign then
    relation.own.checks[name] = { valid = not constraint.skip_validation,
      columns = rewrite.not_null_columns(constraint.raw_expr) }
  end
end

function ALTER.AT_ValidateConstraint(run, relation, cmd)
  local added = run.unvalidated[relation.key .. " " .. cmd.name]
  if added then
    run:add("validate-in-same-transaction", relation, ("validates %s of %s in the transaction that adds it (%s:%d)")
      :format(cmd.name, relation.name, added.file, added.line), "validate")
  end
  local check = relation.own.checks[cmd.name] or relation.facts and relation.facts.checks[cmd.name]
  if check then relation.own.checks[cmd.name] = { valid = true, columns = check.columns } end
end

function ALTER.AT_DropConstraint(_, relation, cmd)
  relation.own.checks[cmd.name] = { valid = false, columns = {} }
end

function ALTER.AT_DropNotNull(_, relation, cmd)
  local known = column_of(relation, cmd.name)
  if known then relation.own.columns[cmd.name] = { type = known.type, not_null = false } end
end

for subtype, what in pairs { AT_SetLogged = "makes %s LOGGED", AT_SetUnLogged = "makes %s UNLOGGED",
  AT_SetTableSpace = "moves %s to another tablespace", AT_SetAccessMethod = "changes the access method of %s" } do
  ALTER[subtype] = function(run, relation)
    run:add("rewrite", relation, what:format(relation.name), "window")
  end
end

function HANDLERS.AlterTableStmt(run, node)
  if node.objtype ~= "OBJECT_TABLE" and node.objtype ~= "OBJECT_MATVIEW" then return end
  local relation = run:table(node.relation)
  for _, item in ipairs(relation and node.cmds or {}) do
    local cmd = item.AlterTableCmd
    if ALTER[cmd.subtype] then ALTER[cmd.subtype](run, relation, cmd) end
  end
end

function HANDLERS.IndexStmt(run, node)
  local relation = not node.concurrent and run:table(node.relation)
  local partitioned = relation and relation.facts and relation.facts.kind == "p"
  if not relation or (partitioned and not node.relation.inh) then return end -- ON ONLY it builds nothing
  run:add("create-index-blocks-writes", relation, ("builds %s on %s"):format(node.idxname and "the index "
    .. node.idxname or "an index", relation.name), partitioned and "index_partitioned" or "index")
end

function HANDLERS.ClusterStmt(run, node)
  local relation = node.relation and run:table(node.relation)
  if relation then run:add("rewrite", relation, "clusters " .. relation.name, "window") end
end

function HANDLERS.VacuumStmt(run, node)
  for _, lock in ipairs(locks.of("VacuumStmt", node)) do
    local relation = lock.mode == "ACCESS EXCLUSIVE" and run:table(lock.object)
    if relation then run:add("rewrite", relation, "VACUUM FULL of " .. relation.name, "window") end
  end
end

local VERBS = { UpdateStmt = "updates %s", DeleteStmt = "deletes from %s" }

local function bulk(run, kind, node)
  if VERBS[kind] and run.holder then
    local relation = run:table(node.relation)
    local all = not (node.whereClause or node.fromClause or node.usingClause)
    if relation and (all or advice.is_big(relation.facts)) then
      run:add("ddl-with-bulk-update", relation, (VERBS[kind] .. "%s in one transaction with %s:%d, which locks %s")
        :format(relation.name, all and " as a whole" or "", run.holder.file, run.holder.line, run.holder.object),
        "bulk")
    end
  end
  for _, item in ipairs(node.withClause and node.withClause.ctes or {}) do
    bulk(run, next(item.CommonTableExpr.ctequery))
  end
end

---Tells run:add of what one statement may do.
---@param run table of plan/danger.lua
---@param kind string
---@param node table
function M.look(run, kind, node)
  if HANDLERS[kind] then HANDLERS[kind](run, node) end
  bulk(run, kind, node)
end

return M
