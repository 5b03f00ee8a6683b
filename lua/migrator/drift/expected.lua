---What the journal implies: its migrations on a throw-away server, as the same user, with the roles and extensions that
---the live database has beside them.
local catalog = require "migrator.drift.catalog"
local config_module = require "migrator.config"
local db = require "migrator.db"
local engine = require "migrator.engine"
local ephemeral = require "migrator.ephemeral"
local errors = require "migrator.error"
local find = require "migrator.ephemeral.find"
local fs = require "migrator.core.fs"
local repeatable = require "migrator.repeatable"
local sql = require "migrator.core.sql"
local url_text = require "migrator.lib.url_text"

local M = {}

local ELSEWHERE = "`migrator drift --snapshot FILE`, where a server is installed, writes what `--against FILE` reads"
local MOST_ROLES = 200
local UNDEFINED = "42704"

---@class migrator.drift.Live what the throw-away server is to have besides
---@field database string
---@field user string|nil
---@field roles string[]
---@field extensions { name: string, schema: string, shown: string, shown_schema: string }[] shown: as catalogues do
---@field version_number integer|nil

-- The server of the live one's version prints definitions as that one does.
local function programs_for(version_number, environment)
  if not version_number or (environment.PG_BINDIR or "") ~= "" then return nil end
  local folder = ("/usr/lib/postgresql/%d/bin"):format(version_number // 10000)
  return fs.find(folder .. "/postgres") and fs.find(folder .. "/initdb") and folder or nil
end

local function start(config, live)
  local ok, found = pcall(find.programs, programs_for(live.version_number, config.environment))
  if not ok then
    local err = errors.wrap(found, "config")
    err.hint = (err.hint and err.hint .. "; or " or "") .. ELSEWHERE
    error(err, 0)
  end
  return ephemeral.start { bin = found, databases = live.database ~= "postgres" and { live.database } or {} }
end

---Names that the migrations make themselves; making them beforehand would be in their way.
local function made_by(entries, words)
  local out = {}
  for _, entry in ipairs(entries) do
    local text = entry:text():lower():gsub("%s+if%s+not%s+exists%s+", " ")
    for _, word in ipairs(words) do
      for name in text:gmatch("create%s+" .. word .. '%s+"?([%w_$-]+)') do out[name] = true end
    end
  end
  return out
end

-- As the live database's user, so that owners and what is granted to them are the same.
local function add_user(conn, user, made)
  if not user or user == "postgres" or made[user:lower()] then return "postgres" end
  conn:exec(("create role %s superuser login"):format(sql.quote_ident(user)))
  conn:exec(("alter database %s owner to %s"):format(sql.quote_ident(conn:info().database), sql.quote_ident(user)))
  return user
end

-- A schema that the migrations make must not be there before them.
local function add_extensions(conn, entries, extensions, note)
  local made, schemas = made_by(entries, { "extension" }), made_by(entries, { "schema" })
  for _, extension in ipairs(extensions) do
    if not made[extension.name:lower()] then
      local schema = sql.quote_ident(schemas[extension.schema:lower()] and "public" or extension.schema)
      local ok, err = pcall(conn.script, conn, ("create schema if not exists %s; "
        .. "create extension if not exists %s schema %s cascade"):format(schema, sql.quote_ident(extension.name),
        schema))
      if not ok then note(("the extension %s cannot be created here: %s"):format(extension.name, tostring(err))) end
    end
  end
end

---@return string user
local function prepare(conn, entries, live, note)
  local made = made_by(entries, { "role", "user" })
  local user = add_user(conn, live.user, made)
  for _, name in ipairs(live.roles) do
    if not made[name:lower()] and not conn:value("select exists (select from pg_catalog.pg_roles where rolname = $1)",
      name) then conn:exec("create role " .. sql.quote_ident(name)) end
  end
  add_extensions(conn, entries, live.extensions, note)
  return user
end

local function attempt(config, journal, deadline, scripts)
  local session = engine.open(config, { lock = true, deadline = deadline })
  local ok, outcome = pcall(function()
    local found = engine.plan(config, journal, session)
    engine.refuse(found)
    local done = engine.apply(config, found, session, function() end, nil, deadline)
    if not done.failed and scripts then repeatable.run(scripts, session, function() end) end
    return done
  end)
  engine.release(session)
  if not ok then return outcome end
  return outcome.failed and outcome.failed.error
end

-- A role that migrations name and nobody makes is the cluster's, not theirs.
local function apply(config, conn, journal, deadline, scripts)
  for _ = 1, MOST_ROLES do
    local failed = attempt(config, journal, deadline, scripts)
    if not failed then return end
    local role = errors.is(failed, "sql") and failed.sqlstate == UNDEFINED
      and failed.message:match 'role "(.-)" does not exist'
    if not role then
      failed.message = "on a throw-away server, from the start: " .. failed.message
      failed.hint = "your database was changed by hand to let it through, or has what only its server has; "
        .. ELSEWHERE
      error(failed, 0)
    end
    conn:exec("create role " .. sql.quote_ident(role))
  end
  errors.raise("config", "the migrations name too many roles that are not there")
end

-- What was there beforehand is no migration's.
local function without(found, extensions, entries)
  local made, schemas, given, out = made_by(entries, { "extension" }), made_by(entries, { "schema" }), {}, {}
  for _, extension in ipairs(extensions) do
    if not made[extension.name:lower()] and extension.name ~= "plpgsql" then
      given["extension " .. extension.shown] = true
      local theirs = extension.schema == "public" or schemas[extension.schema:lower()]
      if not theirs then given["schema " .. extension.shown_schema] = true end
    end
  end
  for _, object in ipairs(found.objects) do
    if not given[object.kind .. " " .. object.name] then out[#out + 1] = object end
  end
  found.objects = out
  return found
end

---@param config migrator.Config
---@param journal migrator.Journal
---@param entries migrator.Entry[] those to apply
---@param live migrator.drift.Live
---@param opts { grants?: boolean, comments?: boolean, scripts?: migrator.Repeatables, deadline?: number, note: function }
---@return migrator.Catalog
function M.build(config, journal, entries, live, opts)
  local server <close> = start(config, live)
  local admin_url = server:url_of(live.database)
  local admin <close> = db.connect(admin_url)
  local user = prepare(admin, entries, live, opts.note)
  local url = admin_url:gsub("//postgres@", function() return "//" .. url_text.encode(user) .. "@" end, 1)
  local settings = config_module.with(config, { url = url, order = "non-linear", baseline = "run", tx = "all",
    attended = false, rehearse = false }, "drift")
  local part = setmetatable({}, { __index = journal })
  part.entries = entries
  apply(settings, admin, part, opts.deadline, opts.scripts)
  local found = catalog.take(admin, { grants = opts.grants, comments = opts.comments, schema = config.schema,
    table = config.table })
  return without(found, live.extensions, entries)
end

return M
