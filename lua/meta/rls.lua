---@meta migrator.rls

---Row-level security: policies made anew, the four that keep tenants apart, and an audit of all tables.
---The session is one of `db.connect`, or `ctx.conn`; a script may give its `db`, a seed tier its `seed`.
---@class migrator.rls
local rls = {}

---@class (exact) migrator.PolicyOptions
---@field table string quoted where it must be, with its schema if that is not in search_path
---@field name string of the policy, as it is
---@field command? "all"|"select"|"insert"|"update"|"delete" "all"
---@field using? string SQL: which rows are seen
---@field check? string SQL: which rows may be written
---@field role? string|string[] "public"
---@field restrictive? boolean

---@class (exact) migrator.TenantOptions
---@field table? string
---@field tables? string[]
---@field column? string "organization_id"
---@field setting? string "app." and the column's name
---@field role? string|string[] "public"

---@class (exact) migrator.AuditOptions
---@field column? string of the tenant: what has it is looked at; "organization_id"
---@field schemas? string[] all but the system's
---@field except? string[] tables and views that are meant to be as they are
---@field role? string that the application logs in as
---@field grants? string[] what it needs: "select", "insert", "update", "delete"

---@class migrator.RlsFinding
---@field rule string no-rls, no-force, no-policy, open-policy, other-policy, slow-policy, no-grant, no-role, role, view, no-tables
---@field object string
---@field message string
---@field hint? string

---Drops the policy if it is there and creates it, in one transaction, or as part of the one under way.
---Raises `usage` for options that cannot be meant, `config` for a table that is not there, `sql`.
---```lua
---rls.replace_policy(db, { table = "note", name = "service", role = "service_role", using = "true" })
---```
---@param conn migrator.Conn
---@param options migrator.PolicyOptions
function rls.replace_policy(conn, options) end

---Makes `<table>_select`, `_insert`, `_update` and `_delete`, and switches row-level security on and to FORCE: all or nothing.
---Raises `config` for a table or column that is not there, `sql`.
---```lua
---rls.tenant_policies(db, { tables = { "note", "plan" }, column = "organization_id", role = "authenticated" })
---```
---@param conn migrator.Conn
---@param options migrator.TenantOptions
---@return string[] tables
function rls.tenant_policies(conn, options) end

---Looks for tables with the tenant's column that do not keep the tenants apart. Changes nothing.
---Raises `usage`.
---```lua
---assert(#rls.audit(db, { role = "app", except = { "organization" } }) == 0)
---```
---@param conn migrator.Conn
---@param options? migrator.AuditOptions
---@return migrator.RlsFinding[]
function rls.audit(conn, options) end

return rls
