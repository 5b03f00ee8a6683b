---What a run needs from the cluster besides rights on its own objects: roles, extensions, room for its connections, the
---right database.
local errors = require "migrator.error"
local identity = require "migrator.identity"
local sql = require "migrator.core.sql"
local tree = require "migrator.plan.tree"

local M = {}

---What a run opens at most: its session, the one that watches, the independent check, the one that tests for a pooler.
M.CONNECTIONS = 4

local SPECIAL = { public = true, current_user = true, session_user = true, current_role = true }

local function collect(node, out)
  if node.roletype == "ROLESPEC_CSTRING" and type(node.rolename) == "string" then out[node.rolename] = true end
  for _, child in pairs(node) do
    if type(child) == "table" then collect(child, out) end
  end
end

local ABOUT = { "^GRANT ", "^REVOKE ", "^ALTER DEFAULT", "^ALTER .-OWNER", "^CREATE POLICY", "^ALTER POLICY",
  "^CREATE SCHEMA", "^REASSIGN" }

local function is_about_roles(words)
  for _, pattern in ipairs(ABOUT) do
    if words:find(pattern) then return true end
  end
  return false
end

---The roles that the pending migrations name, each with the first that does. One that any migration makes, however it
---does that, is not ours to miss.
local function named_roles(journal, applied)
  local out, made, order = {}, {}, {}
  for _, entry in ipairs(journal.entries) do
    local ok, list = pcall(entry.statements, entry)
    local text = ok and entry:text():lower() or ""
    for name in text:gmatch('create%s+role%s+"?([%w_$]+)') do made[name] = true end
    for name in text:gmatch('create%s+user%s+"?([%w_$]+)') do made[name] = true end
    for _, statement in ipairs(ok and not applied[entry] and list or {}) do
      local found = {}
      if is_about_roles(statement.words) or statement.words:find("OWNER TO", 1, true) then
        local _, node = tree.parse(statement.text)
        if type(node) == "table" then collect(node, found) end
      end
      for name in pairs(found) do
        if not out[name] then
          out[name] = entry.tag
          order[#order + 1] = name
        end
      end
    end
  end
  table.sort(order)
  return order, out, made
end

local EXISTS = "select exists (select 1 from pg_catalog.pg_roles where rolname = $1)"

---@param add function
---@param conn migrator.Conn
---@param wanted string[] that the script names
function M.roles(add, conn, journal, applied, wanted)
  local order, by, made = {}, {}, {}
  if journal then order, by, made = named_roles(journal, applied) end
  local names, missing = {}, 0
  for _, name in ipairs(wanted) do names[#names + 1] = name end
  for _, name in ipairs(order) do
    if not SPECIAL[name] and not made[name:lower()] then names[#names + 1] = name end
  end
  for _, name in ipairs(names) do
    if not conn:value(EXISTS, name) then
      missing = missing + 1
      local where = by[name] and (" (named by %s)"):format(by[name]) or ""
      add("roles", "fail", ("there is no role %s%s"):format(name, where),
        "create role " .. sql.quote_ident(name), "config")
    end
  end
  if missing == 0 then
    add("roles", "ok", #names > 0 and "there: " .. table.concat(names, ", ") or "the pending migrations name none")
  end
end

---Extensions that the script names: created already, or to be created by somebody who may.
function M.extensions(add, conn, wanted)
  for _, name in ipairs(wanted) do
    local row = conn:row("select installed_version is not null as created from pg_catalog.pg_available_extensions "
      .. "where name = $1", name)
    if not row then
      add("extensions", "fail", ("%s is not available on the server"):format(name),
        "install its package on the server, or allow it in the provider's console", "config")
    elseif not row.created then
      add("extensions", "fail", ("%s is available, but not created in this database"):format(name),
        "create extension " .. sql.quote_ident(name), "config")
    end
  end
end

local ROOM = [[
select least(
  case when r.rolsuper then pg_catalog.current_setting('max_connections')::int8
    else pg_catalog.current_setting('max_connections')::int8
      - pg_catalog.current_setting('superuser_reserved_connections')::int8
      - coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int8 end
    - (select sum(numbackends) from pg_catalog.pg_stat_database)::int8,
  case when d.datconnlimit >= 0 and not r.rolsuper then d.datconnlimit
    - (select numbackends from pg_catalog.pg_stat_database where datid = d.oid) end,
  case when r.rolconnlimit >= 0 and not r.rolsuper then r.rolconnlimit
    - (select count(*) from pg_catalog.pg_stat_activity where usesysid = r.oid) end)::int8 as free,
  r.rolconnlimit >= 0 as by_role, d.datconnlimit >= 0 as by_database,
  pg_catalog.current_setting('max_connections') as max_connections
from pg_catalog.pg_roles r, pg_catalog.pg_database d
where r.rolname = current_user and d.datname = current_database()]]

---Connections that are still free for us; this one is counted as taken.
---@param needed integer
function M.connections(add, conn, needed)
  local row = conn:row(ROOM)
  local free = math.tointeger(row.free) or 0
  local limits = "max_connections = " .. row.max_connections
  if row.by_database then limits = limits .. ", the database's connection limit" end
  if row.by_role then limits = limits .. ", the role's connection limit" end
  local message = ("%d free for this user (%s)"):format(math.max(free, 0), limits)
  if free < needed - 1 then
    add("connections", "fail", ("%s; a run needs up to %d more"):format(message, needed - 1),
      "close what idles (pg_stat_activity), or raise the limit", "connect")
  else
    add("connections", "ok", message)
  end
end

---@param session migrator.Session
---@param expected table|nil
function M.identity(add, session, expected)
  local found = identity.of(session)
  local ok, err = pcall(identity.insist, expected, found)
  if ok then
    add("identity", "ok", identity.describe(found))
  else
    err = errors.wrap(err, "internal")
    add("identity", "fail", err.message, err.hint, err.code)
  end
end

return M
