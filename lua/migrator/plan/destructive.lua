---What a statement takes away: rows that no later migration brings back, or definitions that somebody may rely on.
---Told from the parse tree; where that cannot be had, from the leading key words.
local kinds = require "migrator.plan.kinds"
local tree = require "migrator.plan.tree"

local M = {}

---@class migrator.Destruction
---@field rule string
---@field loses "data"|"definition"
---@field object string|nil
---@field message string

local DATA = { OBJECT_TABLE = "table", OBJECT_FOREIGN_TABLE = "foreign table", OBJECT_SCHEMA = "schema",
  OBJECT_MATVIEW = "materialized view", OBJECT_SEQUENCE = "sequence", OBJECT_TYPE = "type",
  OBJECT_DOMAIN = "domain", OBJECT_EXTENSION = "extension" }
local ON_TABLE = { OBJECT_POLICY = true, OBJECT_TRIGGER = true, OBJECT_RULE = true }

local function finding(rule, loses, object, message)
  return { rule = rule, loses = loses, object = object, message = message }
end

local function words_of(remove_type) return (remove_type:gsub("^OBJECT_", ""):gsub("_", " "):lower()) end

local function name_dropped(object, remove_type)
  local parts = tree.parts(object)
  if not ON_TABLE[remove_type] then return table.concat(parts, ".") end
  local last = table.remove(parts)
  return last .. " on " .. table.concat(parts, ".")
end

local HANDLERS = {}

function HANDLERS.DropStmt(node, add)
  local kind = DATA[node.removeType]
  local cascade = node.behavior == "DROP_CASCADE" and ", and with CASCADE whatever depends on it" or ""
  for _, object in ipairs(node.objects) do
    local name = name_dropped(object, node.removeType)
    local what = kind or words_of(node.removeType)
    add("drop-" .. what:gsub(" ", "-"), (kind or cascade ~= "") and "data" or "definition", name,
      ("drops the %s %s%s%s"):format(what, name,
      node.removeType == "OBJECT_TABLE" and " and its rows" or "", cascade))
  end
end

function HANDLERS.TruncateStmt(node, add)
  for _, range in ipairs(node.relations) do
    local name = tree.relation(range.RangeVar)
    add("truncate", "data", name, ("removes every row of %s%s"):format(name, node.behavior == "DROP_CASCADE"
      and ", and with CASCADE of the tables that refer to it" or ""))
  end
end

function HANDLERS.AlterTableStmt(node, add)
  local name = tree.relation(node.relation)
  for _, item in ipairs(node.cmds) do
    local cmd = item.AlterTableCmd
    local column = name .. "." .. (cmd.name or "?")
    if cmd.subtype == "AT_DropColumn" then
      add("drop-column", "data", column, ("drops the column %s and what is in it"):format(column))
    elseif cmd.subtype == "AT_AlterColumnType" then
      add("column-type", "data", column,
        ("changes the type of %s: the table may be rewritten, values may not fit"):format(column))
    elseif cmd.subtype == "AT_DropConstraint" then
      add("drop-constraint", "definition", cmd.name, ("drops the constraint %s of %s"):format(cmd.name, name))
    elseif cmd.subtype == "AT_DisableRowSecurity" then
      add("disable-rls", "definition", name, ("turns row level security off on %s"):format(name))
    end
  end
end

local function check_where(rule, verb)
  return function(node, add)
    if node.whereClause or node.fromClause or node.usingClause then return end
    local name = tree.relation(node.relation)
    add(rule, "data", name, ("%s every row of %s: there is no WHERE"):format(verb, name))
  end
end

HANDLERS.DeleteStmt = check_where("delete-all", "deletes")
HANDLERS.UpdateStmt = check_where("update-all", "changes")

function HANDLERS.DropdbStmt(node, add)
  add("drop-database", "data", node.dbname, ("drops the database %s"):format(node.dbname))
end

function HANDLERS.DropOwnedStmt(_, add) add("drop-owned", "data", nil, "drops everything that a role owns") end

function HANDLERS.DropRoleStmt(node, add)
  for _, role in ipairs(node.roles) do
    local name = role.RoleSpec.rolename or "?"
    add("drop-role", "definition", name, ("drops the role %s"):format(name))
  end
end

local IN_BODY = { "DROP TABLE", "DROP SCHEMA", "DROP COLUMN", "DROP TYPE", "TRUNCATE", "DELETE FROM" }

---What a DO block does is decided when it runs; that it speaks of dropping can be seen. Also inside quotes: EXECUTE
---takes those.
function HANDLERS.DoStmt(node, add)
  for _, argument in ipairs(node.args or {}) do
    local body = argument.DefElem.arg and argument.DefElem.arg.String and argument.DefElem.arg.String.sval or ""
    body = body:gsub("%-%-[^\n]*", " "):upper():gsub("%s+", " ")
    for _, words in ipairs(IN_BODY) do
      if body:find("%f[%w_]" .. words .. "%f[^%w_]") then
        add("do-block", "data", nil, ("a DO block that may %s"):format(words))
      end
    end
  end
end

---WITH … AS (DELETE …): the statements inside a query.
local function visit_ctes(node, add)
  for _, item in ipairs(node.withClause and node.withClause.ctes or {}) do
    local kind, query = next(item.CommonTableExpr.ctequery)
    if kind == "DeleteStmt" or kind == "UpdateStmt" then HANDLERS[kind](query, add) end
  end
end

local WORDS = { { "^DROP", "drop", "drops something" }, { "^TRUNCATE", "truncate", "removes every row of a table" } }

---@param statement migrator.Statement
---@param kind string|nil of plan.tree.parse
---@param node table|string
---@return migrator.Destruction[]
function M.find(statement, kind, node)
  local out = {}
  local function add(...) out[#out + 1] = finding(...) end
  if kind then
    if HANDLERS[kind] then HANDLERS[kind](node, add) end
    visit_ctes(node, add)
    return out
  end
  for _, entry in ipairs(WORDS) do
    if statement.words:find(entry[1]) then add(entry[2], "data", nil, entry[3]) end
  end
  if statement.words:find("^ALTER TABLE") and kinds.skeleton(statement.text):find(" DROP COLUMN ", 1, true) then
    add("drop-column", "data", nil, "drops a column and what is in it")
  end
  return out
end

local function note_columns(node, dropped, added)
  local name = tree.relation(node.relation)
  for _, item in ipairs(node.cmds) do
    local cmd = item.AlterTableCmd
    local list = cmd.subtype == "AT_DropColumn" and dropped or cmd.subtype == "AT_AddColumn" and added
    if list then
      list[name] = list[name] or {}
      table.insert(list[name], cmd.name or cmd.def.ColumnDef.colname)
    end
  end
end

---A follower of the statements of one file, which tells what looks like a rename written as drop and add.
---@return { see: fun(kind: string|nil, node: table), finish: fun(): migrator.Destruction[] }
function M.rename_watcher()
  local dropped, added, tables = {}, {}, { dropped = {}, made = {} }
  local function see(kind, node)
    if kind == "AlterTableStmt" and node.objtype == "OBJECT_TABLE" then note_columns(node, dropped, added) end
    if kind == "CreateStmt" then table.insert(tables.made, tree.relation(node.relation)) end
    if kind == "DropStmt" and node.removeType == "OBJECT_TABLE" then
      for _, object in ipairs(node.objects) do table.insert(tables.dropped, tree.name(object)) end
    end
  end
  local function finish()
    local out = {}
    for name, columns in pairs(dropped) do
      if added[name] then
        out[#out + 1] = finding("rename", "data", name,
          ("drops %s and adds %s on %s in one file: if that is a rename, write "
            .. "ALTER TABLE %s RENAME COLUMN %s TO %s, or the data is lost"):format(table.concat(columns, ", "),
            table.concat(added[name], ", "), name, name, columns[1], added[name][1]))
      end
    end
    table.sort(out, function(a, b) return a.object < b.object end)
    if #tables.dropped == 1 and #tables.made == 1 and tables.dropped[1] ~= tables.made[1] then
      out[#out + 1] = finding("rename", "data", tables.dropped[1],
        ("drops the table %s and creates %s in one file: if that is a rename, "
        .. "write ALTER TABLE … RENAME TO, or the rows are lost"):format(tables.dropped[1], tables.made[1]))
    end
    return out
  end
  return { see = see, finish = finish }
end

return M
