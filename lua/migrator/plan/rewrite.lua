---What makes PostgreSQL write a table anew or read all of it: types, defaults and checks, as a parse tree has them. Pure.
local tree = require "migrator.plan.tree"

local M = {}

---@class migrator.ColumnType
---@field name string as in pg_type; an array's begins with _
---@field args integer[] of its modifier, such as { 10, 2 }

local SERIAL = { serial = true, serial2 = true, serial4 = true, serial8 = true, smallserial = true, bigserial = true }

---@param node table a TypeName
---@return migrator.ColumnType
function M.type_of(node)
  local name, args = node.names[#node.names].String.sval, {}
  for i, item in ipairs(node.typmods or {}) do
    local const = item.A_Const
    args[i] = const and const.ival and (const.ival.ival or 0) or -1
  end
  if name == "numeric" and #args == 1 then args[2] = 0 end
  return { name = (node.arrayBounds and "_" or "") .. name, args = args }
end

---@param name string of pg_type
---@param text string what format_type says of it
---@return migrator.ColumnType
function M.type_from(name, text)
  local args = {}
  for number in (text:match("%(([%d,%s-]+)%)") or ""):gmatch("-?%d+") do args[#args + 1] = math.tointeger(number) end
  return { name = name, args = args }
end

local SPOKEN = { int2 = "smallint", int4 = "integer", int8 = "bigint", bool = "boolean", bpchar = "char",
  float4 = "real", float8 = "double precision" }

---@param type_of migrator.ColumnType
function M.type_text(type_of)
  local base = type_of.name:gsub("^_", "")
  local args = #type_of.args > 0 and ("(%s)"):format(table.concat(type_of.args, ",")) or ""
  return (SPOKEN[base] or base) .. args .. (base ~= type_of.name and "[]" or "")
end

local function at_least(from, to) return from[1] ~= nil and to[1] >= from[1] end
local function finer(from, to) return to[1] >= (from[1] or 6) end

-- The types that may grow in place: what they hold is good under the new modifier as it is.
local GROWS = { varchar = at_least, varbit = at_least, timestamp = finer, timestamptz = finer, time = finer,
  timetz = finer, interval = function() return false end,
  numeric = function(from, to) return at_least(from, to) and from[2] == to[2] end }

-- Binary-coercible pairs that one meets; a modifier on the target is a cast of its own, which rewrites.
local COERCES = {
  varchar = { text = true, citext = true }, text = { varchar = true, citext = true },
  citext = { text = true, varchar = true }, cidr = { inet = true }, bit = { varbit = true }, xml = { text = true },
}
local ZONED = { timestamp = "timestamptz", timestamptz = "timestamp" }
local UTC = { UTC = true, GMT = true, ["Etc/UTC"] = true, Zulu = true }

---Does ALTER COLUMN TYPE write every row anew?
---@param from migrator.ColumnType
---@param to migrator.ColumnType
---@param zone? string the session's TimeZone: between the two timestamps it decides
function M.is_needed(from, to, zone)
  if from.name == to.name then
    if table.concat(from.args, ",") == table.concat(to.args, ",") then return false end
    local grows = GROWS[from.name]
    return not grows or (#to.args > 0 and not grows(from.args, to.args))
  end
  if ZONED[from.name] == to.name and UTC[zone] then return #to.args > 0 and not finer(from.args, to.args) end
  return not (COERCES[from.name] and COERCES[from.name][to.name] and #to.args == 0)
end

local function is_column(node, name)
  local fields = node.ColumnRef and node.ColumnRef.fields
  return fields and #fields == 1 and fields[1].String and fields[1].String.sval == name or false
end

---Is the USING of ALTER COLUMN TYPE no more than the cast that would be made without it?
---@param expression table
---@param column string
---@param to migrator.ColumnType
function M.is_plain_using(expression, column, to)
  local cast = expression.TypeCast
  if not cast then return is_column(expression, column) end
  return is_column(cast.arg, column) and M.type_text(M.type_of(cast.typeName)) == M.type_text(to)
end

---The columns that cannot be NULL where the expression of a CHECK holds.
---@param node table
---@param out? table<string, boolean>
---@return table<string, boolean>
function M.not_null_columns(node, out)
  out = out or {}
  local test = node.NullTest
  if test and test.nulltesttype == "IS_NOT_NULL" and test.arg.ColumnRef then
    local field = test.arg.ColumnRef.fields[1]
    if field.String then out[field.String.sval] = true end
  end
  if node.BoolExpr and node.BoolExpr.boolop == "AND_EXPR" then
    for _, argument in ipairs(node.BoolExpr.args) do M.not_null_columns(argument, out) end
  end
  return out
end

---@param definition string what pg_get_constraintdef says of a CHECK
---@return table<string, boolean>
function M.columns_of_check(definition)
  local kind, node = tree.parse("ALTER TABLE t ADD " .. definition)
  if not kind then return {} end
  local constraint = node.cmds[1].AlterTableCmd.def.Constraint
  return constraint.raw_expr and M.not_null_columns(constraint.raw_expr) or {}
end

-- For what the catalogue was not asked about.
local VOLATILE = { random = true, gen_random_uuid = true, clock_timestamp = true, timeofday = true, nextval = true,
  currval = true, lastval = true, setval = true, gen_random_bytes = true, uuidv4 = true, uuidv7 = true,
  uuid_generate_v1 = true, uuid_generate_v1mc = true, uuid_generate_v4 = true }

---The first function of an expression that may give every row another value.
---@param node table
---@param known table<string, boolean> by name: is it volatile?
---@return string|nil
function M.find_volatile(node, known)
  if node.funcname then
    local name = node.funcname[#node.funcname].String.sval
    local volatile = known[name]
    if volatile == nil then volatile = VOLATILE[name] end
    if volatile then return name end
  end
  for _, child in pairs(node) do
    local found = type(child) == "table" and M.find_volatile(child, known)
    if found then return found end
  end
end

---@class migrator.NewColumn
---@field name string
---@field type migrator.ColumnType
---@field serial boolean @field identity boolean @field generated boolean @field unique boolean @field primary boolean
---@field not_null boolean
---@field default? table its expression; NULL is none
---@field checks table[] @field references table[] Constraint nodes

local function is_null(node) return node.A_Const ~= nil and node.A_Const.isnull == true end

local FLAGS = { CONSTR_NOTNULL = "not_null", CONSTR_IDENTITY = "identity", CONSTR_GENERATED = "generated",
  CONSTR_UNIQUE = "unique", CONSTR_PRIMARY = "primary" }
local LISTS = { CONSTR_CHECK = "checks", CONSTR_FOREIGN = "references" }

---@param def table a ColumnDef
---@return migrator.NewColumn
function M.column(def)
  local out = { name = def.colname, type = M.type_of(def.typeName), checks = {}, references = {}, serial = false,
    identity = false, generated = false, unique = false, primary = false, not_null = false }
  out.serial = SERIAL[out.type.name] or false
  for _, item in ipairs(def.constraints or {}) do
    local constraint = item.Constraint
    local flag, list = FLAGS[constraint.contype], LISTS[constraint.contype]
    if flag then out[flag] = true end
    if list then table.insert(out[list], constraint) end
    if constraint.contype == "CONSTR_DEFAULT" and not is_null(constraint.raw_expr) then
      out.default = constraint.raw_expr
    end
  end
  out.not_null = out.not_null or out.primary
  return out
end

return M
