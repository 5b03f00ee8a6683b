---Which database is this? Printed without a secret before anything changes, and held against what a policy expects:
---behind a proxy every database is 127.0.0.1.
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

local M = {}

local FIELDS = { "database", "host", "user", "system_identifier" }
local WORDS = { system_identifier = "system identifier" }

---@class migrator.Identity
---@field database string
---@field host string
---@field port string|integer|nil
---@field user string
---@field version string of the server
---@field system_identifier string|nil of the cluster, nil where the user may not ask for it
---@field kind "direct"|"session"|"transaction"|nil what is between us and the server, nil where it was not tried

---@param session migrator.Session
---@return migrator.Identity
function M.of(session)
  local state = session.state
  return { database = state.database, host = state.host or "local", port = state.port, user = state.user,
    version = state.version, system_identifier = state.system_identifier, kind = state.kind }
end

---Asks a session, for scripts: more than a run needs to know.
---@param conn migrator.Conn
---@return table
function M.ask(conn)
  local found = conn:row([[select current_database() as database, current_user::text as user,
    pg_catalog.pg_is_in_recovery() as standby, rolsuper as superuser, rolbypassrls as bypassrls,
    pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute') as system_identifier
    from pg_catalog.pg_roles where rolname = current_user]])
  found.system_identifier = found.system_identifier
    and conn:value "select system_identifier::text from pg_catalog.pg_control_system()" or nil
  for key, value in pairs(conn:info()) do
    if found[key] == nil then found[key] = value end
  end
  return found
end

---@param identity migrator.Identity
---@return string
function M.describe(identity)
  local port = tostring(identity.port or "") ~= "" and not identity.host:find("^/") and ":" .. identity.port or ""
  local between = identity.kind and identity.kind ~= "direct"
    and (", through a pooler in %s mode"):format(identity.kind)
  return ("database %s as %s on %s%s, PostgreSQL %s%s%s"):format(identity.database, identity.user, identity.host, port,
    identity.version, identity.system_identifier and ", system " .. identity.system_identifier or "", between or "")
end

---Checks what a script expects, before anything runs: known names, texts.
---@param step string
---@param expected table|nil
function M.check_expected(step, expected)
  for name, value in pairs(expected or {}) do
    local known = false
    for _, field in ipairs(FIELDS) do known = known or field == name end
    if not known then
      errors.raise("script", { message = ("steps.%s: expect has no %q"):format(step, tostring(name)), step = step,
        hint = suggest.hint(tostring(name), FIELDS) or "there are " .. table.concat(FIELDS, ", ") })
    end
    local integer = name == "system_identifier" and math.type(value) == "integer"
    if (type(value) ~= "string" or value == "") and not integer then
      errors.raise("script", { message = ("steps.%s: expect.%s wants a text"):format(step, name), step = step })
    end
  end
end

---Refuses a database that is not the expected one, naming every difference.
---@param expected table|nil
---@param identity migrator.Identity
function M.insist(expected, identity)
  local differences = {}
  for _, field in ipairs(FIELDS) do
    local wanted, found = expected and expected[field], identity[field]
    if wanted ~= nil and tostring(wanted) ~= found then
      differences[#differences + 1] = ("the %s is %s, but %s was expected"):format(WORDS[field] or field,
        found or "not to be read by this user", tostring(wanted))
    end
  end
  if #differences == 0 then return end
  errors.raise("config", { message = "this is not the expected database: " .. table.concat(differences, "; "),
    hint = "is DATABASE_URL, or the instance behind the proxy, that of another environment?",
    state = "nothing was changed" })
end

return M
