---What the audit looks at, read from the catalogue.
local db = require "migrator.db"

local M = {}

-- $1 the column, $2 the schemas or NULL, $3 the application's role or NULL.
local TABLES = [[
select c.oid, n.nspname::text as schema, c.relname::text as name, format('%I.%I', n.nspname, c.relname) as quoted,
  c.relrowsecurity as enabled, c.relforcerowsecurity as forced, pg_catalog.pg_get_userbyid(c.relowner)::text as owner,
  r.oid is not null and pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage') as usage,
  r.oid is not null and pg_catalog.has_table_privilege(r.oid, c.oid, 'select') as "select",
  r.oid is not null and pg_catalog.has_table_privilege(r.oid, c.oid, 'insert') as "insert",
  r.oid is not null and pg_catalog.has_table_privilege(r.oid, c.oid, 'update') as "update",
  r.oid is not null and pg_catalog.has_table_privilege(r.oid, c.oid, 'delete') as "delete"
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = $1 and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_roles r on r.rolname = $3
where c.relkind in ('r', 'p') and c.relpersistence <> 't' and case when $2::text[] is null
  then n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'migrator') else n.nspname = any($2::text[]) end
order by 2, 3]]

-- $1 the tables, $2 the role: a policy is for its roles and their members.
local POLICIES = [[
select p.polrelid as oid, p.polname::text as name, p.polcmd::text as command, p.polpermissive as permissive,
  pg_catalog.pg_get_expr(p.polqual, p.polrelid) as "using", pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as "check",
  $2::text is null or exists (select 1 from pg_catalog.unnest(p.polroles) g
    left join pg_catalog.pg_roles r on r.rolname = $2
    where g = 0 or (r.oid is not null and pg_catalog.pg_has_role(r.oid, g, 'usage'))) as applies
from pg_catalog.pg_policy p where p.polrelid = any($1::oid[]) order by 2]]

-- Views over the tables, and over such views.
local VIEWS = [[
with recursive over (view, base) as (
  select r.ev_class, d.refobjid from pg_catalog.pg_depend d join pg_catalog.pg_rewrite r on r.oid = d.objid
  where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
    and d.refobjid = any($1::oid[])
  union
  select r.ev_class, o.base from over o join pg_catalog.pg_depend d on d.refobjid = o.view
  join pg_catalog.pg_rewrite r on r.oid = d.objid
  where d.classid = 'pg_catalog.pg_rewrite'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
    and r.ev_class <> o.view)
select n.nspname::text as schema, c.relname::text as name, format('%I.%I', n.nspname, c.relname) as quoted,
  c.relkind = 'm' as materialized, pg_catalog.min(o.base::regclass::text) as base,
  exists (select 1 from pg_catalog.pg_options_to_table(c.reloptions)
    where option_name = 'security_invoker' and option_value::boolean) as invoker
from over o join pg_catalog.pg_class c on c.oid = o.view join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') group by c.oid, n.nspname, c.relname, c.relkind, c.reloptions order by 1, 2]]

---@param conn migrator.Conn
---@param opts { column: string, schemas?: string[], role?: string }
---@return table[] tables each with `policies`
---@return fun(tables: table[]): table[] views over some of them
function M.read(conn, opts)
  local tables = conn:exec(TABLES, opts.column, opts.schemas and db.array(opts.schemas) or db.null,
    opts.role or db.null)
  local function oids(list)
    local out = {}
    for i, item in ipairs(list) do out[i] = item.oid end
    return db.array(out)
  end
  local by_oid = {}
  for _, item in ipairs(tables) do
    item.policies = {}
    by_oid[item.oid] = item
  end
  for _, policy in ipairs(conn:exec(POLICIES, oids(tables), opts.role or db.null)) do
    for _, key in ipairs { "using", "check" } do
      if policy[key] == db.null then policy[key] = nil end
    end
    table.insert(by_oid[policy.oid].policies, policy)
  end
  return tables, function(list) return conn:exec(VIEWS, oids(list)) end
end

return M
