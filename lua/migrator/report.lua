---What is said of a run, as values: the documents of --json and what sinks print. No query, no decision.
local array = require("migrator.sink").array

local M = {}

local function tags(list)
  local out = array {}
  for i, entry in ipairs(list) do out[i] = entry.tag end
  return out
end

local function ms(seconds) return math.floor(seconds * 1000 + 0.5) end

local function server(state)
  if not state then return nil end
  return { version = state.version, database = state.database, user = state.user, host = state.host }
end

local function problems(plan)
  local out = array {}
  for i, problem in ipairs(plan.problems or {}) do
    out[i] = { code = problem.code, message = problem.message, hint = problem.hint, file = problem.file,
      line = problem.line }
  end
  return out
end

local function findings(plan)
  local out = array {}
  for i, finding in ipairs(plan.findings or {}) do
    out[i] = { rule = finding.rule, severity = finding.severity, message = finding.message, file = finding.file,
      line = finding.line, hint = finding.hint }
  end
  return out
end

---@param plan migrator.Plan
---@param state table
function M.status(plan, state)
  local out = { applied = plan.applied, expected = plan.expected, pending = array {}, moved = array {},
    edited = array {},
    stranded = array {}, baseline = array {}, missing = array {}, entries = array {}, server = server(state) }
  for i, item in ipairs(plan.items) do
    local entry = item.entry
    out.entries[i] = { idx = entry.idx, tag = entry.tag, when = entry.when, hash = entry.hash, state = item.state }
    if out[item.state] and item.state ~= "applied" then table.insert(out[item.state], entry.tag) end
  end
  for i, row in ipairs(plan.missing) do
    out.missing[i] = { id = row.id, hash = row.hash, created_at = row.created_at }
  end
  out.problems, out.findings = problems(plan), findings(plan)
  return out
end

---@param result table what engine.migrate returned
---@param describe fun(err: migrator.Error): table
function M.migrate(result, describe)
  local outcome = result.outcome
  local out = result.plan and M.status(result.plan, result.server) or { entries = array {} }
  local applied = {}
  out.applied_now = array {}
  for i, item in ipairs(outcome and outcome.applied or {}) do
    applied[item.entry.tag] = true
    out.applied_now[i] = { tag = item.entry.tag, duration_ms = ms(item.elapsed) }
  end
  if result.plan then
    out.applied = out.applied + #out.applied_now
    out.pending = tags(outcome and outcome.pending or result.plan.pending)
    for _, entry in ipairs(out.entries) do
      if applied[entry.tag] then entry.state = "applied" end
    end
  end
  if result.repeatable then
    out.repeatable = array {}
    for i, item in ipairs(result.repeatable.ran) do
      out.repeatable[i] = { path = item.path, state = item.state, duration_ms = ms(item.elapsed) }
    end
  end
  out.failed = result.error and describe(result.error) or nil
  out.duration_ms = ms(result.elapsed)
  out.round_trips = result.round_trips
  return out
end

return M
