---Policies made anew, and the four that keep the tenants of a table apart.
local errors = require "migrator.error"
local hash = require "migrator.core.hash"
local options = require "migrator.rls.options"
local sql = require "migrator.core.sql"

local M = {}

local LONGEST = 63 -- bytes of a name; the server cuts what is longer, and then two names may be one

local POLICY = { table = "string!", name = "string!", command = "string", using = "string", check = "string",
  role = "string table", restrictive = "boolean" }
local TENANT = { table = "string", tables = "table", column = "string", setting = "string", role = "string table" }

local COMMANDS = { all = true, select = true, insert = true, update = true, delete = true }
local ROLE_WORDS = { public = true, current_user = true, session_user = true, current_role = true }

local function role_list(given)
  local out = {}
  for i, role in ipairs(options.list(given)) do
    out[i] = ROLE_WORDS[role:lower()] and role:lower() or sql.quote_ident(role)
  end
  return out[1] and table.concat(out, ", ") or "public"
end

---In a transaction of its own, or as part of the one that is under way.
local function together(conn, fn)
  if conn:status() == "transaction" then return fn() end
  return conn:transaction(fn)
end

---@return { name: string, short: string, oid: integer } of a table, its name quoted where it must be
local function find_table(conn, name)
  local row = conn:row([[select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relname::text as short,
    c.relkind::text as kind from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = pg_catalog.to_regclass($1)]], name)
  if not row then errors.raise("config", { message = ("there is no table %s"):format(name) }) end
  if row.kind ~= "r" and row.kind ~= "p" then
    errors.raise("config", { message = ("%s is not a table: policies belong to tables"):format(name) })
  end
  return row
end

local function check_policy(opts)
  local command = (opts.command or "all"):lower()
  if not COMMANDS[command] then
    errors.raise("usage", { message = ("rls.replace_policy: command is all, select, insert, update or delete, not %q")
      :format(opts.command) })
  end
  if command == "insert" and opts.using then
    errors.raise("usage", { message = "rls.replace_policy: an INSERT has no rows to see: `check` instead of `using`" })
  elseif (command == "select" or command == "delete") and opts.check then
    errors.raise("usage", { message = ("rls.replace_policy: %s writes no rows: `using` instead of `check`")
      :format(command:upper()) })
  elseif not opts.using and not opts.check then
    errors.raise("usage", { message = "rls.replace_policy needs `using`, `check` or both" })
  end
  if #opts.name > LONGEST then
    errors.raise("usage", { message = ("the name of a policy has at most %d bytes: %s"):format(LONGEST, opts.name) })
  end
  return command
end

local function replace(conn, target, opts)
  local command, name = check_policy(opts), sql.quote_ident(opts.name)
  conn:exec(("drop policy if exists %s on %s"):format(name, target.name))
  conn:exec(("create policy %s on %s%s for %s to %s%s%s"):format(name, target.name,
    opts.restrictive and " as restrictive" or "", command, role_list(opts.role),
    opts.using and (" using (%s)"):format(opts.using) or "",
    opts.check and (" with check (%s)"):format(opts.check) or ""))
end

---Drops the policy if it is there and creates it, in one transaction: nobody sees the table without it.
---@param conn migrator.Conn
---@param opts table
function M.replace_policy(conn, opts)
  conn = options.session("rls.replace_policy", conn)
  options.check("rls.replace_policy", opts, POLICY)
  check_policy(opts)
  together(conn, function() replace(conn, find_table(conn, opts.table), opts) end)
end

---`<table>_select`, the table's part made short where the name would be too long.
---@param short string
---@param command string
function M.policy_name(short, command)
  local name = short .. "_" .. command
  if #name <= LONGEST then return name end
  local keep = LONGEST - #command - 10
  local cut = short:sub(1, utf8.len(short) and utf8.offset(short, 0, keep + 1) - 1 or keep)
  return ("%s_%s_%s"):format(cut, hash.sha256(short):sub(1, 8), command)
end

local function column_type(conn, target, column)
  local found = conn:value([[select format_type(atttypid, atttypmod) from pg_catalog.pg_attribute
    where attrelid = $1::oid and attname = $2 and attnum > 0 and not attisdropped]], target.oid, column)
  if found then return found end
  errors.raise("config", { message = ("%s has no column %s"):format(target.name, column) })
end

---The sub-select makes the setting a value of the statement, not of each row. Once a transaction has set it, the session
---has it as an empty text, and that is no tenant.
local function expression(column, kind, setting)
  return ("%s = (select nullif(pg_catalog.current_setting(%s, true), '')::%s)"):format(sql.quote_ident(column),
    sql.quote_literal(setting), kind)
end

local function tenant_table(conn, name, opts)
  local target, column = find_table(conn, name), opts.column or "organization_id"
  local text = expression(column, column_type(conn, target, column), opts.setting or "app." .. column)
  conn:exec(("alter table %s enable row level security"):format(target.name))
  conn:exec(("alter table %s force row level security"):format(target.name))
  for _, command in ipairs { "select", "insert", "update", "delete" } do
    replace(conn, target, { name = M.policy_name(target.short, command), command = command, role = opts.role,
      using = command ~= "insert" and text or nil,
      check = (command == "insert" or command == "update") and text or nil })
  end
  return target.name
end

---The four policies for each table, row-level security on and FORCEd, in one transaction.
---@param conn migrator.Conn
---@param opts table
---@return string[] tables
function M.tenant_policies(conn, opts)
  conn = options.session("rls.tenant_policies", conn)
  options.check("rls.tenant_policies", opts, TENANT)
  local names = options.list(opts.tables or opts.table)
  if opts.table and opts.tables or #names == 0 then
    errors.raise("usage", { message = "rls.tenant_policies wants `table` or `tables`" })
  end
  local out = {}
  together(conn, function()
    for i, name in ipairs(names) do out[i] = tenant_table(conn, name, opts) end
  end)
  return out
end

return M
