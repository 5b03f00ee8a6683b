---migrator drift: is the live catalogue what the journal implies? Reads only, takes no lock.
local catalog = require "migrator.drift.catalog"
local classify = require "migrator.plan.classify"
local compare = require "migrator.drift.compare"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local expected = require "migrator.drift.expected"
local repeatable = require "migrator.repeatable"
local snapshot = require "migrator.drift.snapshot"

local M = {}

---@class migrator.Drift
---@field ok boolean
---@field differences migrator.Difference[]
---@field compared integer objects of the live database
---@field applied integer migrations that the comparison is about
---@field pending integer
---@field warnings string[]
---@field expected_version string|nil
---@field server table

---@class migrator.DriftOptions
---@field against? string file
---@field ignore? string[]
---@field grants? boolean
---@field comments? boolean
---@field deadline? number

local THERE = { applied = true, moved = true, edited = true, baseline = true }

local ROLES = "select rolname::text as name from pg_catalog.pg_roles where rolname !~ '^pg_' order by 1"
local EXTENSIONS = [[select extname::text as name, nspname::text as schema,
    quote_ident(extname) as shown, quote_ident(nspname) as shown_schema from pg_catalog.pg_extension e
  join pg_catalog.pg_namespace n on n.oid = e.extnamespace where extname <> 'plpgsql' order by e.oid]]

local function describe(session)
  local conn, roles = session.conn, {}
  for i, row in ipairs(conn:exec(ROLES)) do roles[i] = row.name end
  return { database = session.state.database, user = session.state.user, roles = roles,
    extensions = conn:exec(EXTENSIONS), version_number = conn:info().version_number }
end

---What of the journal the live database has, and what stands against taking it for that.
local function judge(journal, session, warn)
  local found, entries, pending = classify.run(journal.entries, session.rows), {}, 0
  for _, item in ipairs(found.items) do
    if THERE[item.state] then
      entries[#entries + 1] = item.entry
    else
      pending = pending + 1
    end
    if item.state == "edited" then
      warn(("%s is not the file that was applied: what it says now is expected"):format(item.entry.tag))
    end
  end
  if #found.missing > 0 then
    warn(("%d tracking row(s) that no migration of this checkout explains: what they made counts as extra"):format(
      #found.missing))
  end
  return entries, pending
end

---The scripts outside the journal that have run there; an old text of one is not known any more.
local function judge_scripts(config, session, warn)
  if not config.repeatable then return nil end
  local set = repeatable.load(config.repeatable)
  local files = {}
  for _, item in ipairs((repeatable.compare(session.conn, session.tracking, set))) do
    if item.state ~= "new" then files[#files + 1] = item.file end
    if item.state == "changed" then
      warn(("%s was changed since it ran: what it says now is expected"):format(item.file.path))
    end
  end
  return { folder = set.folder, files = files }
end

local function read_snapshot(opts, entries, warn)
  local want, tags = snapshot.read(opts.against)
  for _, name in ipairs { "grants", "comments" } do
    if opts[name] and not want[name] then
      errors.raise("config", { message = ("the snapshot has no %s"):format(name), file = opts.against,
        hint = ("write it with --snapshot FILE --%s"):format(name) })
    end
  end
  local known = {}
  for _, tag in ipairs(tags or {}) do known[tag] = true end
  local lacking = 0
  for _, entry in ipairs(tags and entries or {}) do
    if not known[entry.tag] then lacking = lacking + 1 end
  end
  if tags and (lacking > 0 or #tags ~= #entries) then
    warn(("the snapshot is of %d migration(s), the database has %d of this checkout"):format(#tags, #entries))
  end
  return want
end

-- Definitions that versions print differently are the best we have.
local function check_versions(want, have, warn)
  if not want.version_number or want.version_number // 10000 == have.version_number // 10000 then return end
  warn(("the database is on PostgreSQL %s, what is expected comes from %s: some definitions are printed differently")
    :format(have.version, want.version))
end

local function kept(objects, opts)
  local out = {}
  for _, object in ipairs(objects) do
    local grant = object.kind == "owner" or object.kind == "grant" or object.kind == "default privileges"
    if (opts.grants or not grant) and (opts.comments or object.kind ~= "comment") then out[#out + 1] = object end
  end
  return out
end

---@param config migrator.Config
---@param opts migrator.DriftOptions
---@return migrator.Drift
function M.run(config, opts)
  local warnings = {}
  local function warn(text) warnings[#warnings + 1] = text end
  local journal = engine.journal(config)
  local session = engine.open(config, { deadline = opts.deadline })
  local conn <close> = session.conn
  local entries, pending = judge(journal, session, warn)
  local scripts = judge_scripts(config, session, warn)
  local have = catalog.take(conn, { grants = opts.grants, comments = opts.comments, schema = config.schema,
    table = config.table })
  local want
  if opts.against then
    want = read_snapshot(opts, entries, warn)
  else
    want = expected.build(config, journal, entries, describe(session), { grants = opts.grants, comments = opts.comments,
      scripts = scripts, deadline = opts.deadline, note = warn })
  end
  check_versions(want, have, warn)
  local differences = compare.run(kept(want.objects, opts), have.objects, opts)
  return { ok = #differences == 0, differences = differences, compared = #have.objects, applied = #entries,
    pending = pending, warnings = warnings, expected_version = want.version, server = session.state }
end

---Writes what the whole journal implies; no database is asked.
---@param config migrator.Config
---@param path string
---@param opts { grants?: boolean, comments?: boolean, deadline?: number, note: function }
---@return migrator.Catalog, integer migrations
function M.write(config, path, opts)
  local journal, tags = engine.journal(config), {}
  for i, entry in ipairs(journal.entries) do tags[i] = entry.tag end
  local scripts = config.repeatable and repeatable.load(config.repeatable) or nil
  local found = expected.build(config, journal, journal.entries, { database = "postgres", roles = {}, extensions = {} },
    { grants = opts.grants, comments = opts.comments, scripts = scripts, deadline = opts.deadline, note = opts.note })
  snapshot.write(path, found, tags)
  return found, #tags
end

---Raises `drift` when there is any.
---@param drift migrator.Drift
function M.refuse(drift)
  if drift.ok then return end
  local first = drift.differences[1]
  errors.raise("drift", { message = ("the database %s is not what its %d migration(s) imply: %d difference(s), "
    .. "the first: %s %s %s"):format(drift.server.database, drift.applied, #drift.differences, first.what, first.kind,
    first.name),
    hint = "put it into a migration, take it back in the database, or leave it out with --ignore PATTERN" })
end

return M
