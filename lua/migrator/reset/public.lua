---The schema public, made again as it was: owner, grants, default privileges, comment, and the extensions that no
---migration creates.
local sql = require "migrator.core.sql"

local M = {}

local ACL = [[
select a.privilege_type as privilege, a.is_grantable as grantable, case when a.grantee = 0 then 'public'
  else quote_ident(r.rolname) end as grantee
from pg_catalog.pg_namespace n cross join lateral pg_catalog.aclexplode(n.nspacl) a
left join pg_catalog.pg_roles r on r.oid = a.grantee where n.nspname = 'public']]

-- What later tables of a role are granted by itself, in public alone. They go with the schema.
local DEFAULTS = [[
select d.defaclrole::regrole::text as role, pg_catalog.pg_has_role(d.defaclrole, 'usage') as ours,
  case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
    end as kind, a.privilege_type as privilege, a.is_grantable as grantable,
  case when a.grantee = 0 then 'public' else quote_ident(r.rolname) end as grantee
from pg_catalog.pg_default_acl d cross join lateral pg_catalog.aclexplode(d.defaclacl) a
left join pg_catalog.pg_roles r on r.oid = a.grantee
where d.defaclnamespace = (select oid from pg_catalog.pg_namespace where nspname = 'public') order by 1, 3, 4]]

---@param conn migrator.Conn
---@return table[]
function M.default_privileges(conn) return conn:exec(DEFAULTS) end

---@param conn migrator.Conn
---@param source string text of all migrations, lower case
---@param list string the schemas that go, as an array
---@return table for M.recreate
function M.remember(conn, source, list)
  local out = conn:row([[select nspowner::regrole::text as owner,
    obj_description(oid, 'pg_namespace') as comment from pg_catalog.pg_namespace where nspname = 'public']])
      or { owner = nil }
  out.grants, out.defaults, out.extensions = conn:exec(ACL), M.default_privileges(conn), {}
  for _, row in ipairs(conn:exec([[select e.extname::text as name, n.nspname::text as schema, e.extversion as version
    from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
    where n.nspname = any($1::text[])]], list)) do
    if row.schema == "public" and not source:find(row.name:lower(), 1, true) then table.insert(out.extensions, row) end
  end
  return out
end

---In a transaction of the caller.
---@param conn migrator.Conn
---@param kept table of M.remember
function M.recreate(conn, kept)
  local function option(grant) return grant.grantable and " with grant option" or "" end
  conn:exec("create schema public" .. (kept.owner and " authorization " .. kept.owner or ""))
  for _, grant in ipairs(kept.grants) do
    conn:exec(("grant %s on schema public to %s%s"):format(grant.privilege:lower(), grant.grantee, option(grant)))
  end
  for _, grant in ipairs(kept.defaults) do
    if grant.ours then
      conn:exec(("alter default privileges for role %s in schema public grant %s on %s to %s%s"):format(grant.role,
        grant.privilege:lower(), grant.kind, grant.grantee, option(grant)))
    end
  end
  if type(kept.comment) == "string" then
    conn:exec("comment on schema public is " .. sql.quote_literal(kept.comment))
  end
  for _, extension in ipairs(kept.extensions) do
    conn:exec(("create extension %s with schema public version %s"):format(sql.quote_ident(extension.name),
      sql.quote_literal(extension.version)))
  end
end

return M
