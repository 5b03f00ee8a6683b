---What a role can do that no policy stops, and work done as a role and taken back.
local errors = require "migrator.error"

local M = {}

-- Whoever is a member of a role may become it.
local ROLE = [[
select r.rolname::text as name, r.rolsuper as superuser, r.rolbypassrls as bypassrls,
  (select pg_catalog.min(b.rolname::text) from pg_catalog.pg_roles b where (b.rolsuper or b.rolbypassrls)
    and b.oid <> r.oid and not r.rolsuper and pg_catalog.pg_has_role(r.oid, b.oid, 'member')) as becomes
from pg_catalog.pg_roles r where r.rolname = $1]]

---@param conn migrator.Conn
---@param name string
---@return { name: string, superuser: boolean, bypassrls: boolean, becomes: string|userdata }|nil
function M.find(conn, name) return conn:row(ROLE, name) end

---Why row-level security does not hold for the role, or nil.
---@param found { superuser: boolean, bypassrls: boolean }
---@return string|nil
function M.find_bypass(found)
  return found.superuser and "a superuser" or found.bypassrls and "BYPASSRLS" or nil
end

local function check_role(conn, name)
  local found = M.find(conn, name)
  if not found then
    errors.raise("config", { message = ("as_role: there is no role %s"):format(name),
      hint = "a migration makes it, or the spec does" })
  end
  local why = M.find_bypass(found)
  if why then
    errors.raise("config", { message = ("as_role: the role %s is %s: row-level security does not hold for it, and the "
      .. "test would prove nothing"):format(name, why),
      hint = "name the role that the application logs in as, without SUPERUSER and BYPASSRLS" })
  end
end

local function texts(vars)
  if vars == nil then return nil end
  local out = {}
  for name, value in pairs(vars) do out[name] = tostring(value) end
  return out
end

---Runs fn as the role, with the settings, in a transaction that is always rolled back. What fn returns is returned.
---@param conn migrator.Conn
---@param role string
---@param vars table<string, string|number>|nil
---@param fn fun(conn: migrator.Conn): any
function M.as_role(conn, role, vars, fn)
  if type(role) ~= "string" or type(fn) ~= "function" then
    errors.raise("usage", { message = "as_role wants a role, settings if any, and a function" })
  end
  check_role(conn, role)
  return conn:transaction(function(session)
    local result = table.pack(fn(session))
    if session:status() == "idle" then
      errors.raise("config", { message = "as_role: the function ended the transaction: what it did stays",
        hint = "no COMMIT or ROLLBACK inside; use savepoints" })
    end
    return table.unpack(result, 1, result.n)
  end, { role = role, vars = texts(vars), rollback = true })
end

return M
