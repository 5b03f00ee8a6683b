---The database's own word on what it is: behind a proxy production is 127.0.0.1, and a name says nothing. Kept in our
---schema, readable by everybody, at most one row. A database without a marker is as before.
local errors = require "migrator.error"
local gate = require "migrator.seed.gate"
local suggest = require "migrator.lib.suggest"

local M = {}

local CREATE = {
  -- IF NOT EXISTS alone wants the right to create schemas also when there is nothing to create.
  [[do $$ begin if not exists (select 1 from pg_catalog.pg_namespace where nspname = 'migrator') then
    create schema if not exists migrator; end if; end $$]],
  [[create table if not exists migrator.environment (name text not null, at timestamptz not null default now(),
    by text not null default session_user)]],
  "create unique index if not exists environment_one on migrator.environment ((true))",
  "grant usage on schema migrator to public",
  "grant select on migrator.environment to public",
}

---@param name string
function M.check_name(name)
  for _, known in ipairs(gate.ENVIRONMENTS) do
    if known == name then return end
  end
  errors.raise("usage", { message = ("there is no environment %q"):format(name),
    hint = suggest.hint(name, gate.ENVIRONMENTS) or "there are " .. table.concat(gate.ENVIRONMENTS, ", ") })
end

---@param conn migrator.Conn
---@return { name: string, at: string, by: string }|nil
function M.find(conn)
  if not conn:value([[select exists (select 1 from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'migrator' and c.relname = 'environment' and c.relkind = 'r')]]) then return nil end
  return conn:row("select name, at::text as at, by from migrator.environment")
end

---Inside of a transaction of the caller.
---@param conn migrator.Conn
---@param marker { name: string, at?: string, by?: string }
function M.write(conn, marker)
  conn:exec("set local client_min_messages = warning")
  for _, statement in ipairs(CREATE) do conn:exec(statement) end
  conn:exec("delete from migrator.environment")
  conn:exec([[insert into migrator.environment (name, at, by)
    values ($1, coalesce($2::timestamptz, now()), coalesce($3, session_user))]], marker.name, marker.at, marker.by)
end

local function say(environment)
  if environment.value == environment.name then return ("%s=%s"):format(environment.variable, environment.value) end
  return environment.why
end

---Why a run of this configuration must not touch a database with this marker, or nil.
---@param config migrator.Config
---@param name string|nil
---@return string|nil
function M.find_objection(config, name)
  local environment = name and gate.environment(config)
  if not name or environment.name == name then return nil end
  return ("the database is marked %q, but this run is for %q (%s)"):format(name, environment.name, say(environment))
end

---Refuses a database that says to be another one than the run is meant for.
---@param config migrator.Config
---@param state { marker?: string, database?: string }
function M.check(config, state)
  local objection = M.find_objection(config, state.marker)
  if not objection then return end
  errors.raise("config", { message = objection, state = "nothing was changed",
    hint = ("is it the right database? Then set %s=%s; `migrator baseline --environment NAME` changes the marker")
      :format(config.environment_variable, state.marker) })
end

return M
