---Seeds as the commands, the pipeline step and scripts use them.
local clock = require "migrator.core.clock"
local duration = require "migrator.lib.duration"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local run = require "migrator.seed.run"
local sink_module = require "migrator.sink"
local tiers = require "migrator.seed.tiers"

local M = {}

---Reads and checks every tier, and says which of them run here.
---@param config migrator.Config
---@param names? string[] only these
---@return migrator.SeedSelection
function M.load(config, names) return tiers.select(config, names) end

---Refuses when the schema is not the journal's: a seed written for it would fail, or worse, not fail.
---@param config migrator.Config
---@param session migrator.Session
function M.check_migrated(config, session)
  local found = engine.plan(config, engine.journal(config), session)
  if #found.problems > 0 then engine.refuse(found) end
  if #found.pending == 0 then return end
  errors.raise("seed", { message = ("%d migration(s) are pending, first %s"):format(#found.pending,
    found.pending[1].tag),
    hint = "run `migrator migrate` first", state = "nothing was seeded" })
end

local LEVEL = { WARNING = "warning", NOTICE = "notice", INFO = "info" }

---Progress and notices of a run, for people.
---@param sink migrator.Sink
---@return fun(name: string, data: table)
function M.subscribe(sink)
  return function(name, data)
    if name == "tier" then
      sink:progress(("seeding %d/%d %s"):format(data.number, data.total, data.tier.name))
    elseif name == "rows" then
      sink:progress(("seeding %s: %s, %d %s"):format(data.tier.name, data.table, data.n, data.field))
    elseif name == "print" then
      sink:diagnostic("info", data.tier.name .. ": " .. data.message)
    elseif name == "notice" then
      sink:diagnostic(LEVEL[data.severity] or "debug", data.message)
    elseif name == "warning" or name == "waiting" then
      sink:diagnostic(name == "warning" and name or "notice", data.message)
    end
  end
end

---The result, one line a tier.
function M.print(sink, selection, results)
  sink:clear_progress()
  sink:line(("Environment: %s (%s)"):format(selection.environment.name, selection.environment.why))
  local rows = { { "tier", "time", "rows" } }
  for _, result in ipairs(results) do
    rows[#rows + 1] = { result.tier, duration.format(result.elapsed), result.counts:describe() }
  end
  for _, skipped in ipairs(selection.skipped) do rows[#rows + 1] = { skipped.tier.name, "skipped", skipped.reason } end
  if #rows > 1 then sink:table(rows) end
end

---The document of --json:
---`{"environment": {"name": "development", "variable": "NODE_ENV", "value": "development", "why": "NODE_ENV"},
---  "tiers": [{"tier": "reference", "duration_ms": 12, "tables": [{"table": "ai_model", "created": 4, "updated": 0}]}],
---  "skipped": [{"tier": "development", "reason": "not for production (only …)"}]}`.
---A table has those of created, updated, unchanged, copied, truncated, written, deleted that apply. When a tier failed,
---`failed` is the error, and `tiers` are those that had been committed before.
function M.document(selection, results)
  local array = sink_module.array
  local out = { environment = { name = selection.environment.name, variable = selection.environment.variable,
    value = selection.environment.value, why = selection.environment.why }, tiers = array {}, skipped = array {} }
  for i, result in ipairs(results) do
    local list = array {}
    for at, name in ipairs(result.counts.order) do
      local row = { table = name }
      for field, n in pairs(result.counts.tables[name]) do row[field] = n end
      list[at] = row
    end
    out.tiers[i] = { tier = result.tier, duration_ms = math.floor(result.elapsed * 1000 + 0.5), tables = list }
  end
  for i, skipped in ipairs(selection.skipped) do out.skipped[i] = { tier = skipped.tier.name,
    reason = skipped.reason } end
  return out
end

---Runs what a selection holds on a session whose migrations are all applied, the run lock held.
---@param config migrator.Config
---@param selection migrator.SeedSelection
---@param conn? migrator.Conn default: a session of its own
---@param emit fun(name: string, data: table)
---@return migrator.SeedResult[]
function M.execute(config, selection, conn, emit)
  local session = engine.open(config, { lock = true, emit = emit, conn = conn, deadline = engine.deadline(config) })
  local ok, result = pcall(function()
    M.check_migrated(config, session)
    return run.tiers(config, session.conn, selection.tiers, emit, selection.environment)
  end)
  if not conn then
    session.conn:close()
  elseif conn:status() == "idle" then
    conn:exec("select pg_catalog.pg_advisory_unlock($1::int8)", session.tracking.key)
  end
  if not ok then error(result, 0) end
  return result
end

---@param config migrator.Config
---@param conn migrator.Conn
---@param names? string[]
---@param sink migrator.Sink
---@return { selection: migrator.SeedSelection, results: migrator.SeedResult[], elapsed: number }
function M.run(config, conn, names, sink)
  local started = clock.now()
  local selection = M.load(config, names)
  local results = M.execute(config, selection, conn, M.subscribe(sink))
  M.print(sink, selection, results)
  return { selection = selection, results = results, elapsed = clock.now() - started }
end

return M
