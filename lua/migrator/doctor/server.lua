---What only the server can tell: is it there, does it let us in, may we, and is anything in the way.
local db = require "migrator.db"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local marker = require "migrator.marker"
local poolers = require "migrator.lib.poolers"
local server = require "migrator.server"
local sql = require "migrator.core.sql"
local tracking_table = require "migrator.tracking"
local tree = require "migrator.plan.tree"
local url = require "migrator.lib.url"

local M = {}

local MOST = 5

local PING = { ["rejecting"] = "the server is there but lets nobody in (starting up, or shutting down)",
  ["no answer"] = "no server answers there", ["bad parameters"] = "the URL cannot be used" }

---A pooler that its name gives away need not be asked.
local function is_refused(add, target)
  local words, info = url.conninfo(target)
  local ok, err = pcall(poolers.insist, words, info.ignored)
  if not ok then add("pooler", "fail", err.message, err.hint, err.code) end
  return not ok
end

---@return boolean
function M.reachable(add, target)
  if is_refused(add, target) then return false end
  local ok, answer = pcall(db.ping, target)
  if not ok then
    local err = errors.wrap(answer, "config")
    add("server", "fail", err.message, err.hint, err.code)
    return false
  end
  if answer == "accepting" then
    add("server", "ok", "accepts connections")
    return true
  end
  local _, why
  if answer == "rejecting" then _, why = db.try_connect(target, { connect_timeout = 3 }) end
  add("server", "fail", why and why.message or PING[answer] or answer, answer == "no answer"
    and "is it running, is the address right, is a proxy needed first?"
    or nil, answer == "bad parameters" and "config" or "connect")
  return false
end

---@return migrator.Conn|nil
function M.login(add, config, deadline)
  local ok, conn = pcall(engine.connect, config, deadline)
  if not ok then
    local err = errors.wrap(conn, "internal")
    add("login", "fail", err.message, err.hint, err.code)
    return nil
  end
  local info = conn:info()
  local row = conn:row("select current_database()::text as database, current_user::text as user")
  add("login", "ok", ("%s as %s on %s"):format(row.database, row.user, info.host or "local"))
  add("version", "ok", "PostgreSQL " .. info.version)
  return conn
end

---The first look of a run. What only privileges stand against has been said by then.
---@param conn migrator.Conn closed when this fails
---@return migrator.Session|nil
function M.look(add, config, conn, may)
  local ok, session = pcall(engine.open, config, { conn = conn })
  if ok then return session end
  local err = errors.wrap(session, "internal")
  if may or err.sqlstate ~= "42501" then add("first look", "fail", err.message, err.hint, err.code) end
  return nil
end

function M.settings(add, conn)
  local encoding = conn:value("select pg_catalog.current_setting('server_encoding')")
  add("encoding", encoding == "UTF8" and "ok" or "warn", encoding, encoding ~= "UTF8"
    and "characters that it lacks will be refused: a database in UTF8 is wiser" or nil)
end

---What the database says of itself, against what the run is for.
function M.marker(add, session, config)
  local name = session.state.marker
  if not name then return end
  local ok, err = pcall(marker.check, config, session.state)
  if ok then
    add("marker", "ok", "the database is marked " .. name)
  else
    add("marker", "fail", err.message, err.hint, err.code)
  end
end

---Poolers, standbys and read-only sessions, as migrate checks them.
function M.pooler(add, session, config, deadline)
  local ok, notice = pcall(server.check, session.state, session.conn, function()
    return engine.connect(config, deadline)
  end)
  if ok then
    add("pooler", notice and "warn" or "ok",
      notice or "direct: none between us and the server, which may be written to")
  else
    local err = errors.wrap(notice, "internal")
    add("pooler", "fail", err.message, err.hint, err.code)
  end
end

local PRIVILEGES = [[
select pg_catalog.has_database_privilege(current_database(), 'create') as create_schema,
  current_database()::text as database, current_user::text as user,
  n.oid is not null as has_schema, p.oid is not null as has_public,
  coalesce(pg_catalog.has_schema_privilege(p.oid, 'create'), true) as public,
  coalesce(pg_catalog.has_schema_privilege(n.oid, 'usage'), true) as usage,
  coalesce(pg_catalog.has_schema_privilege(n.oid, 'create'), true) as create_table
from (values (1)) one
  left join pg_catalog.pg_namespace n on n.nspname = $1
  left join pg_catalog.pg_namespace p on p.nspname = 'public']]

local OF_TABLE = [[
select pg_catalog.has_table_privilege(c.oid, 'select') as select,
  pg_catalog.has_table_privilege(c.oid, 'insert') as insert,
  coalesce((select pg_catalog.has_sequence_privilege(d.objid, 'usage') from pg_catalog.pg_depend d
    join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    where d.refobjid = c.oid and d.deptype in ('a', 'i') limit 1), true) as sequence
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2]]

local AVAILABLE = "select installed_version as installed from pg_catalog.pg_available_extensions where name = $1"

local function lacking(add, conn, tracking, held)
  local user = sql.quote_ident(held.user)
  local schema, out = sql.quote_ident(tracking.schema), {}
  local function need(has, what, grant)
    if not has then out[#out + 1] = { what, ("grant %s to %s"):format(grant, user) } end
  end
  need(held.usage, "usage on schema " .. tracking.schema, "usage on schema " .. schema)
  local row = conn:row(OF_TABLE, tracking.schema, tracking.table)
  if row then
    need(row.select, "select on the tracking table", "select on " .. tracking.name)
    need(row.insert, "insert on the tracking table", "insert on " .. tracking.name)
    need(row.sequence, "usage on the sequence of the tracking table",
      ("usage on all sequences in schema %s"):format(schema))
  elseif held.has_schema then
    need(held.create_table, "create on schema " .. tracking.schema, "create on schema " .. schema)
  else
    need(held.create_schema, "create on the database, to make schema " .. tracking.schema,
      "create on database " .. sql.quote_ident(held.database))
  end
  for _, item in ipairs(out) do add("privileges", "fail", "the user lacks " .. item[1], item[2], "config") end
  return #out > 0
end

---@return boolean may
function M.privileges(add, conn, config)
  local tracking = tracking_table.new(config.schema, config.table)
  local held = conn:row(PRIVILEGES, tracking.schema)
  if lacking(add, conn, tracking, held) then return false end
  if held.has_public and not held.public then
    add("privileges", "warn", "no create on schema public: migrations that create there will fail",
      ("grant create on schema public to %s"):format(sql.quote_ident(held.user)))
  else
    add("privileges", "ok", "what the tracking table and schema public need"
      .. (held.create_schema and ", and create on the database" or ""))
  end
  return true
end

local INVALID = [[
select i.indexrelid::pg_catalog.regclass::text as name, i.indrelid::pg_catalog.regclass::text as table
from pg_catalog.pg_index i where not i.indisvalid and not exists (
  select from pg_catalog.pg_stat_progress_create_index p where p.index_relid = i.indexrelid)
  and not exists (select from pg_catalog.pg_class c where c.oid = i.indexrelid and c.relkind = 'I') order by 1]]

---Indexes that a CREATE INDEX CONCURRENTLY left behind: they cost writes and serve no query.
function M.indexes(add, session)
  local rows = session.conn:exec(INVALID)
  for i, row in ipairs(rows) do
    if i <= MOST then
      add("indexes", "warn", ("%s of %s is INVALID: building it was cut off"):format(row.name, row.table),
        ("drop index concurrently %s; a migration that stopped part way builds its own again"):format(row.name))
    end
  end
  if #rows > MOST then add("indexes", "warn", ("and %d more INVALID indexes"):format(#rows - MOST)) end
  if #rows == 0 then add("indexes", "ok", "none is INVALID") end
end

---The extensions that the migrations create; only where that stands outright, not inside a DO block.
local function wanted(journal)
  local out, seen = {}, {}
  for _, entry in ipairs(journal.entries) do
    local ok, list = pcall(entry.statements, entry)
    for _, statement in ipairs(ok and list or {}) do
      local kind, node
      if statement.words:find("^CREATE EXTENSION") then kind, node = tree.parse(statement.text) end
      if kind == "CreateExtensionStmt" and not seen[node.extname] then
        seen[node.extname] = true
        out[#out + 1] = { name = node.extname, tag = entry.tag }
      end
    end
  end
  return out
end

function M.extensions(add, session, journal)
  local list, names = wanted(journal), {}
  for _, item in ipairs(list) do
    local found = session.conn:row(AVAILABLE, item.name)
    if not found then
      add("extensions", "fail", ("%s (created by %s) is not available on the server"):format(item.name, item.tag),
        "install its package on the server, or allow it in the provider's console", "config")
    else
      names[#names + 1] = item.name .. (found.installed ~= db.null and " (created)" or "")
    end
  end
  if #names > 0 then add("extensions", "ok", "available: " .. table.concat(names, ", ")) end
  if #list == 0 then add("extensions", "ok", "the migrations create none") end
end

function M.lock(add, session)
  local holder = server.find_holder(session.conn, session.tracking.key)
  if not holder then
    add("run lock", "ok", "free")
  else
    add("run lock", "warn", "held by " .. server.describe_holder(holder),
      ("a run is under way; if it is dead: select pg_terminate_backend(%d)"):format(holder.pid))
  end
end

---@return table<migrator.Entry, boolean> applied
function M.state(add, session, journal, config)
  local classified = require("migrator.plan.classify").run(journal.entries, session.rows)
  local applied = {}
  for _, item in ipairs(classified.items) do
    if item.row then applied[item.entry] = true end
  end
  local ok, plan = pcall(engine.plan, config, journal, session)
  if not ok then return applied end -- a file that cannot be read: the check of the files says so
  for i, problem in ipairs(plan.problems) do
    if i <= MOST then add("state", "fail", problem.message, problem.hint, problem.code) end
  end
  if #plan.problems > MOST then
    add("state", "fail", ("and %d more like these"):format(#plan.problems - MOST), "`migrator status` shows them all",
      "checksum")
  end
  for _, finding in ipairs(plan.findings) do
    if finding.rule == "part-way" then add("state", "warn", finding.message) end
  end
  if #plan.problems == 0 then
    add("state", "ok", ("%d applied, %d expected, %d pending"):format(plan.applied, plan.expected, #plan.pending))
  end
  return applied
end

return M
