---Dropping everything, so that migrate starts from nothing. Guarded three times: by the environment, the host and a
---phrase that names the target, and in production by a second factor; and only when all that comes after has been checked.
local audit = require "migrator.audit"
local confirm = require "migrator.confirm"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local gate = require "migrator.seed.gate"
local marker = require "migrator.marker"
local preflight = require "migrator.reset.preflight"
local public = require "migrator.reset.public"
local sink_module = require "migrator.sink"
local sql = require "migrator.core.sql"
local values = require "migrator.seed.values"

local M = {}

local NOTHING = "nothing was dropped"

---What the confirmation must be. A database that is marked, and production, are called by what they are; another by its
---name, and its host when that is not this machine.
---@param info table of conn:info()
---@param environment? migrator.Environment of M.check_target
---@return string
function M.phrase(info, environment)
  if environment and (environment.marked or environment.name == "production") then
    return "reset-" .. environment.name
  end
  if gate.is_local(info.host) then return "reset " .. info.database end
  return ("reset %s on %s"):format(info.database, info.host)
end

local function is_allowed(config, conn)
  for _, name in ipairs(config.hosts) do
    for _, reached in ipairs(gate.hosts(config, conn)) do
      if name:lower() == reached:lower() then return true end
    end
  end
  return false
end

---Production takes three consents that are given in three places: the command, the project's file, the environment.
local function check_production(config, conn, environment, given)
  local info, lacks, hints = conn:info(), {}, {}
  local function lack(what, hint) lacks[#lacks + 1], hints[#hints + 1] = what, hint end
  if not given then
    lack("the phrase", ("--confirm %s (or MIGRATOR_CONFIRM)"):format(M.phrase(info, environment)))
  end
  if not is_allowed(config, conn) then
    lack("its host in the list", ("hosts = { %q } in migrator.config.lua"):format(
      gate.hosts(config, conn)[1] or info.host))
  end
  if (config.reset_target or "") == "" then
    lack("the second factor", "MIGRATOR_RESET_TARGET=NAME, the database's name, in the environment")
  elseif config.reset_target ~= info.database then
    lack("the second factor", ("MIGRATOR_RESET_TARGET is %q, and this is another database"):format(config.reset_target))
  end
  if #lacks == 0 then return end
  errors.raise("config", { message = "reset --drop is refused in production: it lacks " .. table.concat(lacks, ", "),
    hint = table.concat(hints, "; "), state = NOTHING })
end

---Production, which is also what nobody named, only with the host allowed by name, the phrase given beforehand, and the
---second factor.
---@param config migrator.Config
---@param conn migrator.Conn
---@param given string|nil --confirm
---@return migrator.Environment environment with `marked`: the database says so itself
function M.check_target(config, conn, given)
  local mark = marker.find(conn)
  marker.check(config, { marker = mark and mark.name })
  local environment = gate.environment(config)
  environment.marked = mark ~= nil
  local stranger = gate.find_stranger(config, conn)
  if stranger then
    errors.raise("config", { message = ("reset --drop: %s is not a local host"):format(stranger), state = NOTHING,
      hint = ('name it in migrator.config.lua when that is meant: hosts = { %q }'):format(stranger) })
  end
  if environment.name ~= "production" then return environment end
  if not mark and environment.value ~= "production" then
    errors.raise("config", { message = "reset --drop is not allowed in production: " .. environment.why,
      state = NOTHING,
      hint = ("say what it is: %s=development (or test, staging, production)"):format(environment.variable) })
  end
  check_production(config, conn, environment, given)
  return environment
end

---The schemas to drop that are there: public, the tracking schema, our own, and those that the journal's files create.
---@param conn migrator.Conn
---@param config migrator.Config
---@param entries migrator.Entry[]
---@return { name: string, tables: integer, ours: boolean }[]
function M.schemas(conn, config, entries)
  local wanted = { public = true, migrator = true, [config.schema] = true }
  for name in pairs(preflight.created(entries, "SCHEMA")) do wanted[name] = true end
  local names = {}
  for name in pairs(wanted) do
    if name ~= "" and not name:find("^pg_") and name ~= "information_schema" then names[#names + 1] = name end
  end
  return conn:exec([[select nspname::text as name, pg_catalog.pg_has_role(nspowner, 'usage') as ours,
    (select count(*) from pg_catalog.pg_class where relnamespace = n.oid and relkind in ('r', 'p', 'f')
      and not (nspname = 'migrator' and relname = 'audit')) as tables
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

---Other sessions on the database. What those of other roles do, and of what type they are, not everybody is told.
---@param conn migrator.Conn
---@return { pid: integer, user: string, application: string, host: string, state: string }[]
function M.sessions(conn)
  return conn:exec([[select pid, coalesce(usename::text, '?') as user, coalesce(application_name, '') as application,
    coalesce(host(client_addr), 'local') as host, coalesce(state, '?') as state from pg_catalog.pg_stat_activity
    where datname = current_database() and pid <> pg_catalog.pg_backend_pid() and usesysid is not null
      and coalesce(backend_type, 'client backend') = 'client backend' order by pid]])
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

-- What lies outside of the schemas and could go with them by CASCADE. Its name is for people: that depends on what the
-- search_path finds.
local OUTSIDE = [[
select 'r' || oid as key, 'relation ' || oid::regclass::text as name from pg_catalog.pg_class
where relkind in ('r', 'p', 'v', 'm', 'f', 'S') and relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  and relnamespace <> all(select oid from pg_catalog.pg_namespace where nspname = any($1::text[]))
union all select 'k' || oid, 'foreign key ' || conname || ' of ' || conrelid::regclass::text
from pg_catalog.pg_constraint
where contype = 'f' and connamespace <> all(select oid from pg_catalog.pg_namespace where nspname = any($1::text[]))
union all select 'f' || oid, 'function ' || oid::regprocedure::text from pg_catalog.pg_proc
where pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
  and pronamespace <> all(select oid from pg_catalog.pg_namespace where nspname = any($1::text[]))
union all select 'c' || attrelid || '.' || attnum, 'column ' || attrelid::regclass::text || '.' || attname
from pg_catalog.pg_attribute a
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
  for _, row in ipairs(conn:exec(OUTSIDE, list)) do left[row.key] = true end
  for _, row in ipairs(before) do
    if not left[row.key] then
      errors.raise("config",
        { message = ("%s lies in another schema and would go too: nothing was dropped"):format(row.name),
        hint = "drop it first if that is meant" })
    end
  end
end

---Drops a schema with all that is in it. Of ours the audit trail stays: an append-only table is not written anew.
local function drop_schema(conn, name)
  if name ~= "migrator" or not audit.exists(conn) then
    return conn:exec(("drop schema %s cascade"):format(sql.quote_ident(name)))
  end
  for _, row in ipairs(conn:exec([[select c.relname::text as name, case c.relkind when 'v' then 'view'
    when 'm' then 'materialized view' when 'f' then 'foreign table' when 'S' then 'sequence' else 'table' end as kind
    from pg_catalog.pg_class c where c.relnamespace = 'migrator'::regnamespace and c.relname <> 'audit'
      and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not exists (select 1 from pg_catalog.pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i')]])) do
    conn:exec(("drop %s if exists migrator.%s cascade"):format(row.kind, sql.quote_ident(row.name)))
  end
end

---Drops the schemas and makes public again, in one transaction.
---@param conn migrator.Conn
---@param schemas table[] of M.schemas
---@param entries migrator.Entry[]
---@param record? fun() called in the transaction, behind all else
function M.drop(conn, schemas, entries, record)
  local list, texts = values.array(names_of(schemas)), {}
  for i, entry in ipairs(entries) do texts[i] = entry:text():lower() end
  conn:transaction(function()
    conn:exec("set local client_min_messages = warning")
    local before = conn:exec(OUTSIDE, list)
    local kept, mark = public.remember(conn, table.concat(texts, "\n"), list), marker.find(conn)
    for _, schema in ipairs(schemas) do drop_schema(conn, schema.name) end
    check_outside(conn, before, list)
    public.recreate(conn, kept)
    if mark then marker.write(conn, mark) end
    if record then record() end
  end)
end

---No drop without its row: where there is a trail, or the policy wants one, it is written in the same transaction.
local function drop_recorded(conn, schemas, entries, trail)
  if not trail then return M.drop(conn, schemas, entries) end
  local list = {}
  for i, schema in ipairs(schemas) do list[i] = { kind = "schema", name = schema.name } end
  local ok, err = pcall(M.drop, conn, schemas, entries, function()
    local done, why = pcall(trail.insert, trail, conn, { applied = list })
    if done then return end
    error(errors.add(why, { state = NOTHING, hint = "a drop and its row in migrator.audit are one transaction: this "
      .. "user needs usage on schema migrator, and insert and select on the table" }), 0)
  end)
  if ok then return end
  trail:write(conn, { applied = {}, error = err })
  error(err, 0)
end

---What was dropped, where and when, for people.
---@param dropped table of M.perform
---@return string[] lines
function M.describe(dropped)
  local parts = {}
  for i, schema in ipairs(dropped.schemas) do parts[i] = ("%s (%d tables)"):format(schema.schema, schema.tables) end
  return { ("Dropped: %s"):format(#parts > 0 and "schema " .. table.concat(parts, ", ") or "nothing"),
    ("Database: %s as %s on %s, environment %s, %s"):format(dropped.database, dropped.user, dropped.host,
      dropped.environment, dropped.at) }
end

---The whole of the guarded drop on a session, which holds the run lock afterwards.
---@param config migrator.Config
---@param conn migrator.Conn
---@param wanted migrator.ResetPlan
---@param how { given?: string, sink: migrator.Sink, emit: function, command: string|function, deadline?: number }
---@return table dropped for people and --json
---@return migrator.Session session
---@return migrator.AuditTrail|nil trail
function M.perform(config, conn, wanted, how)
  local environment = M.check_target(config, conn, how.given)
  local entries = wanted.journal.entries
  local schemas = M.schemas(conn, config, entries)
  M.check_privileges(conn, schemas)
  preflight.check_server(conn, wanted, how.emit)
  M.check_sessions(config, conn, how.emit)
  local info = conn:info()
  confirm.insist(how.sink, M.phrase(info, environment), how.given, how.command)
  local session = engine.open(config, { lock = true, emit = how.emit, conn = conn, deadline = how.deadline })
  local trail = audit.start(config, { command = "reset", emit = how.emit, deadline = how.deadline,
    marker = session.state.marker, force = audit.exists(conn) })
  drop_recorded(conn, schemas, entries, trail)
  local dropped = sink_module.array {}
  for i, schema in ipairs(schemas) do dropped[i] = { schema = schema.name, tables = schema.tables } end
  return { database = info.database, host = info.host, user = info.user, environment = environment.name,
    at = os.date("!%Y-%m-%dT%H:%M:%SZ"), schemas = dropped }, session, trail
end

return M
