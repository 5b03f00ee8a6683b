---Dropping everything, so that migrate starts from nothing. Guarded three times: by the environment, the host and a
---phrase that names the target; and only when all that comes after has been checked.
local errors = require "migrator.error"
local gate = require "migrator.seed.gate"
local marker = require "migrator.marker"
local sql = require "migrator.core.sql"
local values = require "migrator.seed.values"

local M = {}

---What the confirmation must be: it names the database, and the host when that is not this machine.
---@return string
function M.phrase(info)
  if gate.is_local(info.host) then return "reset " .. info.database end
  return ("reset %s on %s"):format(info.database, info.host)
end

---Production, which is also what nobody named, only with the host allowed by name and the phrase as an argument.
---@param config migrator.Config
---@param conn migrator.Conn
---@param given string|nil --confirm
function M.check_target(config, conn, given)
  local mark = marker.find(conn)
  marker.check(config, { marker = mark and mark.name })
  local environment = gate.environment(config)
  local stranger = gate.find_stranger(config, conn)
  if stranger then
    errors.raise("config", { message = ("reset --drop: %s is not a local host"):format(stranger),
      hint = ('name it in migrator.config.lua when that is meant: hosts = { %q }'):format(stranger) })
  end
  if environment.name ~= "production" then return environment end
  local allowed = false
  for _, name in ipairs(config.hosts) do
    for _, reached in ipairs(gate.hosts(config, conn)) do allowed = allowed or name:lower() == reached:lower() end
  end
  if allowed and given then return environment end
  errors.raise("config", { message = "reset --drop is not allowed in production: " .. environment.why,
    hint = environment.value == "production"
      and "it needs both --confirm and the host's name in `hosts` of migrator.config.lua"
      or ("set %s=development (or test, staging) if this is one"):format(environment.variable) })
end

local function created_schemas(entries, out)
  for _, entry in ipairs(entries) do
    for _, statement in ipairs(entry:statements()) do
      if statement.words:find("^CREATE SCHEMA") then
        local rest = statement.text:gsub("^%s*%a+%s+%a+%s+", "",
          1):gsub("^[Ii][Ff]%s+[Nn][Oo][Tt]%s+[Ee][Xx][Ii][Ss][Tt][Ss]%s+", "")
          :gsub("^[Aa][Uu][Tt][Hh][Oo][Rr][Ii][Zz][Aa][Tt][Ii][Oo][Nn]%s+", "")
        local quoted = rest:gsub('""', "\0"):match('^"([^"]*)"')
        out[quoted and quoted:gsub("\0", '"') or (rest:match("^[%w_$\128-\255]+") or ""):lower()] = true
      end
    end
  end
end

---The schemas to drop that are there: public, the tracking schema, our own, and those that the journal's files create.
---@param conn migrator.Conn
---@param config migrator.Config
---@param entries migrator.Entry[]
---@return { name: string, tables: integer, ours: boolean }[]
function M.schemas(conn, config, entries)
  local wanted = { public = true, migrator = true, [config.schema] = true }
  created_schemas(entries, wanted)
  local names = {}
  for name in pairs(wanted) do
    if name ~= "" and not name:find("^pg_") and name ~= "information_schema" then names[#names + 1] = name end
  end
  return conn:exec([[select nspname::text as name, pg_catalog.pg_has_role(nspowner, 'usage') as ours,
    (select count(*) from pg_catalog.pg_class where relnamespace = n.oid and relkind in ('r', 'p', 'f')) as tables
    from pg_catalog.pg_namespace n where nspname = any($1::text[]) order by nspname]], values.array(names))
end

---@param conn migrator.Conn
---@param schemas table[] of M.schemas
function M.check_privileges(conn, schemas)
  for _, schema in ipairs(schemas) do
    if not schema.ours then
      errors.raise("config", { message = ("the user %s may not drop schema %s"):format(conn:info().user, schema.name),
        hint = "only its owner, or a superuser, may: connect as that role" })
    end
  end
  if not conn:value("select pg_catalog.has_database_privilege(current_database(), 'create')") then
    errors.raise("config", { message = ("the user %s may not create schemas in this database"):format(conn:info().user),
      hint = "grant create on the database to it, or connect as its owner" })
  end
end

---Other sessions on the database.
---@param conn migrator.Conn
---@return { pid: integer, user: string, application: string, host: string, state: string }[]
function M.sessions(conn)
  return conn:exec([[select pid, coalesce(usename::text, '?') as user, coalesce(application_name, '') as application,
    coalesce(host(client_addr), 'local') as host, coalesce(state, '?') as state from pg_catalog.pg_stat_activity
    where datname = current_database() and pid <> pg_catalog.pg_backend_pid() and backend_type = 'client backend'
      order by pid]])
end

---They are shown; on a host that is not local, or with one at work, they are a reason not to.
---@param emit fun(name: string, data: table)
function M.check_sessions(config, conn, emit)
  local sessions, busy = M.sessions(conn), 0
  for _, session in ipairs(sessions) do
    if session.state ~= "idle" then busy = busy + 1 end
    emit("warning", { message = ("another session: pid %d, user %s, application %q, from %s, %s"):format(session.pid,
      session.user,
      session.application, session.host, session.state) })
  end
  local far = false
  for _, name in ipairs(gate.hosts(config, conn)) do far = far or not gate.is_local(name) end
  if busy > 0 or (far and #sessions > 0) then
    errors.raise("lock", { message = ("%d other session(s) are on the database%s"):format(#sessions, busy > 0 and ", "
      .. busy .. " of them at work" or ""), hint = "stop them first; nothing was changed" })
  end
end

-- What lies outside of the schemas and could go with them by CASCADE.
local OUTSIDE = [[
select 'relation ' || oid::regclass::text as name from pg_catalog.pg_class
where relkind in ('r', 'p', 'v', 'm', 'f', 'S') and relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  and relnamespace <> all(select oid from pg_catalog.pg_namespace where nspname = any($1::text[]))
union all select 'foreign key ' || conname || ' of ' || conrelid::regclass::text from pg_catalog.pg_constraint
where contype = 'f' and connamespace <> all(select oid from pg_catalog.pg_namespace where nspname = any($1::text[]))
union all select 'function ' || oid::regprocedure::text from pg_catalog.pg_proc
where pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
  and pronamespace <> all(select oid from pg_catalog.pg_namespace where nspname = any($1::text[]))
union all select 'column ' || attrelid::regclass::text || '.' || attname from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid where attnum > 0 and not attisdropped and c.relkind in ('r', 'p')
  and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  and c.relnamespace <> all(select oid from pg_catalog.pg_namespace where nspname = any($1::text[]))]]

local function names_of(rows)
  local out = {}
  for i, row in ipairs(rows) do out[i] = row.name end
  return out
end

local function check_outside(conn, before, list)
  local left = {}
  for _, row in ipairs(conn:exec(OUTSIDE, list)) do left[row.name] = true end
  for _, row in ipairs(before) do
    if not left[row.name] then
      errors.raise("config",
        { message = ("%s lies in another schema and would go too: nothing was dropped"):format(row.name),
        hint = "drop it first if that is meant" })
    end
  end
end

local ACL = [[
select a.privilege_type as privilege, a.is_grantable as grantable, case when a.grantee = 0 then 'public'
  else quote_ident(r.rolname) end as grantee
from pg_catalog.pg_namespace n cross join lateral pg_catalog.aclexplode(n.nspacl) a
left join pg_catalog.pg_roles r on r.oid = a.grantee where n.nspname = 'public']]

---Everything needed to make public again as it was: owner, grants, comment, and the extensions that no migration
---creates.
local function remember(conn, source, list)
  local out = conn:row([[select nspowner::regrole::text as owner,
    obj_description(oid, 'pg_namespace') as comment from pg_catalog.pg_namespace where nspname = 'public']])
      or { owner = nil }
  out.grants, out.extensions = conn:exec(ACL), {}
  for _, row in ipairs(conn:exec([[select e.extname::text as name, n.nspname::text as schema, e.extversion as version
    from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
    where n.nspname = any($1::text[])]], list)) do
    if row.schema == "public" and not source:find(row.name:lower(), 1, true) then table.insert(out.extensions, row) end
  end
  return out
end

local function recreate(conn, kept)
  conn:exec("create schema public" .. (kept.owner and " authorization " .. kept.owner or ""))
  for _, grant in ipairs(kept.grants) do
    conn:exec(("grant %s on schema public to %s%s"):format(grant.privilege:lower(), grant.grantee,
      grant.grantable and " with grant option" or ""))
  end
  if type(kept.comment) == "string" then
    conn:exec("comment on schema public is " .. sql.quote_literal(kept.comment))
  end
  for _, extension in ipairs(kept.extensions) do
    conn:exec(("create extension %s with schema public version %s"):format(sql.quote_ident(extension.name),
      sql.quote_literal(extension.version)))
  end
end

---Drops the schemas and makes public again, in one transaction.
---@param conn migrator.Conn
---@param schemas table[] of M.schemas
---@param entries migrator.Entry[]
function M.drop(conn, schemas, entries)
  local list, texts = values.array(names_of(schemas)), {}
  for i, entry in ipairs(entries) do texts[i] = entry:text():lower() end
  conn:transaction(function()
    conn:exec("set local client_min_messages = warning")
    local before = conn:exec(OUTSIDE, list)
    local kept, mark = remember(conn, table.concat(texts, "\n"), list), marker.find(conn)
    for _, schema in ipairs(schemas) do conn:exec(("drop schema %s cascade"):format(sql.quote_ident(schema.name))) end
    check_outside(conn, before, list)
    recreate(conn, kept)
    if mark then marker.write(conn, mark) end
  end)
end

return M
