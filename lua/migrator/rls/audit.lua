---Which tables with the tenants' column do not keep the tenants apart, and why.
local catalog = require "migrator.rls.catalog"
local db = require "migrator.db"
local expression = require "migrator.rls.expression"
local options = require "migrator.rls.options"
local roles = require "migrator.rls.role"

local M = {}

local OPTIONS = { column = "string", schemas = "table", except = "table", role = "string", grants = "table" }
local COMMANDS = { "select", "insert", "update", "delete" }
local LETTER = { select = "r", insert = "a", update = "w", delete = "d" }
local VIEW_INVOKER = 150000

---@class migrator.RlsFinding
---@field rule string
---@field object string
---@field message string
---@field hint? string

local function missing_commands(item)
  local out = {}
  for _, command in ipairs(COMMANDS) do
    local covered = false
    for _, policy in ipairs(item.policies) do
      covered = covered or policy.applies and policy.permissive and (policy.command == "*"
        or policy.command == LETTER[command])
    end
    if not covered then out[#out + 1] = command:upper() end
  end
  return out
end

local function check_expression(add, item, policy, text, what, opts)
  local slow = expression.find_slow_call(text)
  if slow then
    add("slow-policy", item.quoted, ("policy %s on %s calls %s for each row (%s)"):format(policy.name, item.quoted,
      slow, what), ("wrap it: (select %s(…)) is asked once for a statement"):format(slow))
  end
  if not policy.applies or not policy.permissive then return end
  if expression.is_open(text) then
    add("open-policy", item.quoted, ("policy %s on %s lets every row through (%s)"):format(policy.name, item.quoted,
      what), not opts.role and "if it is for another role than the application's, name that: role = …" or nil)
  elseif not expression.mentions(text, opts.column) then
    add("other-policy", item.quoted, ("policy %s on %s does not look at %s (%s)"):format(policy.name, item.quoted,
      opts.column, what), "permissive policies are alternatives: one that is not about the tenant opens the others")
  end
end

local function check_policies(add, item, opts)
  local missing = missing_commands(item)
  if #missing > 0 then
    add("no-policy", item.quoted, ("%s has no policy for %s%s"):format(item.quoted, table.concat(missing, ", "),
      opts.role and " that holds for " .. opts.role or ""), "rls.tenant_policies makes the four")
  end
  for _, policy in ipairs(item.policies) do
    if policy.using then check_expression(add, item, policy, policy.using, "USING", opts) end
    if policy.check and policy.check ~= policy.using then
      check_expression(add, item, policy, policy.check, "WITH CHECK", opts)
    end
  end
end

local function check_grants(add, item, opts)
  local missing = {}
  for _, command in ipairs(opts.grants or COMMANDS) do
    if not item[command:lower()] then missing[#missing + 1] = command:upper() end
  end
  if not item.usage then
    add("no-grant", item.quoted, ("%s has no USAGE on the schema of %s"):format(opts.role, item.quoted))
  elseif #missing > 0 then
    add("no-grant", item.quoted, ("%s lacks %s on %s"):format(opts.role, table.concat(missing, ", "), item.quoted),
      "grant it, and alter default privileges for the tables to come; or say which are meant: grants = { \"select\" }")
  end
end

local function check_table(add, item, opts, has_role)
  if not item.enabled then
    add("no-rls", item.quoted, ("%s has %s, but row-level security is off"):format(item.quoted, opts.column),
      ("alter table %s enable row level security"):format(item.quoted))
  end
  if not item.forced then
    add("no-force", item.quoted, ("%s is not FORCEd: its owner %s sees every row"):format(item.quoted, item.owner),
      ("alter table %s force row level security"):format(item.quoted))
  end
  check_policies(add, item, opts)
  if has_role then check_grants(add, item, opts) end
end

local function check_view(add, view, version)
  if view.materialized then
    add("view", view.quoted, ("the materialized view %s keeps rows of %s without its policies"):format(view.quoted,
      view.base), "keep the application away from it, and name it in `except`")
  elseif not view.invoker then
    add("view", view.quoted, ("the view %s reads %s as its owner"):format(view.quoted, view.base),
      version >= VIEW_INVOKER and ("alter view %s set (security_invoker = true)"):format(view.quoted)
        or "before PostgreSQL 15 no view asks as its user: keep the application away from it, or name it in `except`")
  end
end

local function check_role(add, conn, name)
  local found = roles.find(conn, name)
  if not found then
    add("no-role", name, ("there is no role %s"):format(name))
    return false
  end
  local why = roles.find_bypass(found)
  if why then
    add("role", name, ("the role %s is %s: no policy holds for it"):format(name, why),
      ("alter role %s nosuperuser nobypassrls, or connect as another"):format(name))
  elseif found.becomes ~= db.null then
    add("role", name, ("the role %s may become %s, for whom no policy holds"):format(name, found.becomes),
      ("revoke %s from it"):format(found.becomes))
  end
  return true
end

local function exceptions(given)
  local set = {}
  for _, name in ipairs(given or {}) do set[name] = true end
  return function(item) return set[item.name] or set[item.schema .. "." .. item.name] or set[item.quoted] end
end

---@param conn migrator.Conn
---@param given? { column?: string, schemas?: string[], except?: string[], role?: string, grants?: string[] }
---@return migrator.RlsFinding[]
function M.run(conn, given)
  conn = options.session("rls.audit", conn)
  given = options.check("rls.audit", given or {}, OPTIONS)
  local opts = { column = given.column or "organization_id", schemas = given.schemas, role = given.role,
    grants = given.grants }
  local findings, is_exempt = {}, exceptions(given.except)
  local function add(rule, object, message, hint)
    findings[#findings + 1] = { rule = rule, object = object, message = message, hint = hint }
  end
  local has_role = opts.role and check_role(add, conn, opts.role)
  local tables, views_over = catalog.read(conn, opts)
  local looked_at = {}
  for _, item in ipairs(tables) do
    if not is_exempt(item) then
      looked_at[#looked_at + 1] = item
      check_table(add, item, opts, has_role)
    end
  end
  if #tables == 0 then
    add("no-tables", opts.column, ("no table has a column %s: nothing was looked at"):format(opts.column),
      "name the tenants' column: column = …")
  end
  local version = conn:info().version_number
  for _, view in ipairs(views_over(looked_at)) do
    if not is_exempt(view) then check_view(add, view, version) end
  end
  return findings
end

return M
