---migrator seed --prove: each idempotent tier runs twice in a throw-away database; the second run must change nothing.
local engine = require "migrator.engine"
local ephemeral = require "migrator.ephemeral"
local errors = require "migrator.error"
local gate = require "migrator.seed.gate"
local run = require "migrator.seed.run"
local sink_module = require "migrator.sink"
local sql = require "migrator.core.sql"
local suggest = require "migrator.lib.suggest"
local tiers_of = require "migrator.seed.tiers"

local M = {}

local TABLES = [[
select n.nspname::text as schema, c.relname::text as name from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1, 2]]

---Rows and content of every table; the order of the rows does not count, everything else does.
---@param conn migrator.Conn
---@return table<string, { rows: integer, digest: string }>
function M.snapshot(conn)
  local out = {}
  for _, row in ipairs(conn:exec(TABLES)) do
    local name = sql.quote_ident(row.schema) .. "." .. sql.quote_ident(row.name)
    local found = conn:row(("select count(*) as rows, md5(coalesce(string_agg(h, '' order by h), '')) as digest "
      .. "from (select md5(t::text) as h from %s t) hashes"):format(name))
    out[row.schema .. "." .. row.name] = { rows = found.rows, digest = found.digest }
  end
  return out
end

---@return { table: string, before: integer, after: integer }[] what differs
function M.compare(before, after)
  local out = {}
  for name, now in pairs(after) do
    local was = before[name] or { rows = 0 }
    if was.rows ~= now.rows or was.digest ~= now.digest then
      out[#out + 1] = { table = name, before = was.rows, after = now.rows }
    end
  end
  table.sort(out, function(a, b) return a.table < b.table end)
  return out
end

local function describe(difference)
  if difference.before ~= difference.after then
    return ("%s: %d rows after the first run, %d after the second"):format(difference.table, difference.before,
      difference.after)
  end
  return ("%s: %d rows both times, but their contents differ"):format(difference.table, difference.after)
end

-- `written` is an SQL statement's own upsert or update: what it changed, the contents tell.
local function counted(result)
  local out = {}
  for _, name in ipairs(result.counts.order) do
    local tables = result.tables[name]
    local created, updated = (tables.created or 0) + (tables.copied or 0), tables.updated or 0
    if created + updated > 0 then
      out[#out + 1] = ("%s: the second run reports %d created, %d updated"):format(name, created, updated)
    end
  end
  return out
end

local function environment_for(tier)
  for i = #gate.ENVIRONMENTS, 1, -1 do
    local name = gate.ENVIRONMENTS[i]
    if tier.environments[name] then return { name = name, why = "--prove" } end
  end
end

---@param config migrator.Config of the throw-away database
---@param conn migrator.Conn
---@param tier migrator.Tier
---@return string[] problems
function M.tier(config, conn, tier, emit)
  local environment = environment_for(tier)
  run.tier(config, conn, tier, environment, emit)
  local before = M.snapshot(conn)
  local again = run.tier(config, conn, tier, environment, emit)
  local problems = {}
  for _, difference in ipairs(M.compare(before, M.snapshot(conn))) do problems[#problems + 1] = describe(difference) end
  for _, line in ipairs(counted(again)) do problems[#problems + 1] = line end
  return problems
end

local function wanted_of(tiers, names)
  if not names then return nil end
  local out, known = {}, {}
  for _, tier in ipairs(tiers) do known[#known + 1] = tier.name end
  for _, name in ipairs(names) do
    local found
    for _, tier in ipairs(tiers) do found = tier.name == name and tier or found end
    if not found then
      errors.raise("config", { message = ("there is no tier %q"):format(name), hint = suggest.hint(name, known) })
    end
    if not found.idempotent then
      errors.raise("config", { message = ("tier %s does not claim to be idempotent"):format(name), file = found.file })
    end
    out[name] = true
  end
  return out
end

---@param config migrator.Config
---@param names? string[] only these; what comes before them is run, not proved
---@return { tier: string, idempotent: boolean, proved: boolean, problems: string[] }[]
function M.run(config, sink, names)
  local tiers = tiers_of.load(config)
  local wanted = wanted_of(tiers, names)
  local settings, server <close> = ephemeral.attach(config, sink)
  local migrated = engine.migrate(settings, function() end)
  if migrated.error then error(migrated.error, 0) end
  local conn <close> = engine.connect(settings)
  local out = {}
  for i, tier in ipairs(tiers) do
    sink:progress(("proving %d/%d %s on PostgreSQL %s"):format(i, #tiers, tier.name, server.version))
    local emit = function() end
    if tier.idempotent and (not wanted or wanted[tier.name]) then
      local problems = M.tier(settings, conn, tier, emit)
      out[#out + 1] = { tier = tier.name, idempotent = true, proved = #problems == 0, problems = problems }
    else
      run.tier(settings, conn, tier, environment_for(tier), emit)
      out[#out + 1] = { tier = tier.name, idempotent = tier.idempotent, proved = false, problems = {} }
    end
  end
  return out
end

local function verdict(item)
  if #item.problems > 0 then return "not idempotent" end
  if item.proved then return "idempotent: the second run changed nothing" end
  return item.idempotent and "run once, not asked for" or "run once: does not claim to be idempotent"
end

---@return integer exit code
function M.command(config, sink, names)
  local results = M.run(config, sink, names)
  sink:clear_progress()
  local rows, problems, document = { { "tier", "verdict" } }, {}, sink_module.array {}
  for i, item in ipairs(results) do
    rows[#rows + 1] = { item.tier, verdict(item) }
    for _, problem in ipairs(item.problems) do problems[#problems + 1] = item.tier .. ": " .. problem end
    document[i] = { tier = item.tier, idempotent = item.idempotent, proved = item.proved,
      problems = sink_module.array(item.problems) }
  end
  sink:table(rows)
  sink:document { tiers = document }
  if #problems == 0 then return 0 end
  errors.raise("seed", { message = "a second run changed something", detail = table.concat(problems, "\n"),
    hint = "use seed.upsert with a key and fixed ids, or say idempotent = false" })
end

return M
