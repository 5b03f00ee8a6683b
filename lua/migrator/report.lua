---What is said of a run, as values: the documents of --json and what sinks print. No query, no decision.
local lazy = require "migrator.lib.lazy"
local array = require("migrator.sink").array
local locks = lazy.require "migrator.plan.locks"
local statements = lazy.require "migrator.journal.statements"

local M = {}

local function tags(list)
  local out = array {}
  for i, entry in ipairs(list) do out[i] = entry.tag end
  return out
end

local function ms(seconds) return math.floor(seconds * 1000 + 0.5) end

local function server(state)
  if not state then return nil end
  return { version = state.version, database = state.database, user = state.user, host = state.host,
    port = state.port, system_identifier = state.system_identifier, kind = state.kind }
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

local LARGE = 4 << 20 -- bytes of a file whose locks are not looked for

---The strongest lock that a migration takes on what was there before it, as far as its text tells.
---@param entry migrator.Entry
---@return { mode: string, object: string }|nil
function M.strongest_lock(entry)
  local ok, list = pcall(function()
    return #entry:text() <= LARGE and locks.all(statements.read(entry)) or {}
  end)
  local strongest
  for _, lock in ipairs(ok and list or {}) do
    if not strongest or not locks.covers(strongest.mode, lock.mode) then strongest = lock end
  end
  return strongest and { mode = strongest.mode, object = strongest.object } or nil
end

local function present(value) return value ~= "" and value or nil end

---Who runs this, from which commit, and where that is to be seen: as the CI system says.
---@param environment table<string, string>
---@return migrator.RunOrigin
function M.origin(environment)
  local function var(name) return present(environment[name] or "") end
  if environment.GITHUB_ACTIONS == "true" then
    local base = var "GITHUB_REPOSITORY" and (var "GITHUB_SERVER_URL" or "https://github.com") .. "/"
      .. var "GITHUB_REPOSITORY"
    return { provider = "github", actor = var "GITHUB_TRIGGERING_ACTOR" or var "GITHUB_ACTOR",
      commit = var "GITHUB_SHA", ref = var "GITHUB_REF_NAME", job = var "GITHUB_WORKFLOW",
      url = base and var "GITHUB_RUN_ID" and base .. "/actions/runs/" .. var "GITHUB_RUN_ID" or nil,
      commit_url = base and var "GITHUB_SHA" and base .. "/commit/" .. var "GITHUB_SHA" or nil }
  elseif environment.GITLAB_CI then
    local base = var "CI_PROJECT_URL"
    return { provider = "gitlab", actor = var "GITLAB_USER_LOGIN", commit = var "CI_COMMIT_SHA",
      ref = var "CI_COMMIT_REF_NAME", job = var "CI_JOB_NAME", url = var "CI_JOB_URL",
      commit_url = base and var "CI_COMMIT_SHA" and base .. "/-/commit/" .. var "CI_COMMIT_SHA" or nil }
  end
  return {}
end

local function what_of(ctx, name)
  local results = ctx.results
  if name == "detect" and results.changed ~= nil then return results.changed and "changed" or "unchanged" end
  if name == "migrate" and results.migrate and results.migrate.outcome then
    return ("%d applied, %d pending"):format(#results.migrate.outcome.applied, #results.migrate.outcome.pending)
  end
  if name == "verify" and results.verdict then return ("%d findings"):format(#results.verdict.findings) end
  if name == "seed" and results.seeds then return ("%d tier(s)"):format(#results.seeds.results) end
  return ""
end

local function steps_of(ctx)
  local out = {}
  for _, record in ipairs(ctx.record) do
    if record.name ~= "report" then
      out[#out + 1] = { name = record.name, status = record.status, elapsed = record.elapsed,
        duration_ms = ms(record.elapsed), what = what_of(ctx, record.name) }
    end
  end
  return out
end

local function migrations_of(result, err)
  local out = array {}
  local outcome = result and result.outcome
  for _, item in ipairs(outcome and outcome.applied or {}) do
    out[#out + 1] = { tag = item.entry.tag, file = item.entry.path, status = "applied", duration_ms = ms(item.elapsed),
      lock = M.strongest_lock(item.entry) }
  end
  local pending = outcome and outcome.pending or result and result.plan and result.plan.pending
  for _, entry in ipairs(pending or {}) do
    local failed = err and rawget(err, "migration") == entry.tag
    out[#out + 1] = { tag = entry.tag, file = entry.path, duration_ms = 0, status = failed and "failed" or "pending",
      lock = failed and M.strongest_lock(entry) or nil }
  end
  return out
end

---What a person should know, less what is the error itself.
local function notes_of(ctx)
  local results, warnings, notices = ctx.results, array {}, array {}
  for _, check in ipairs(results.preflight or {}) do
    if check.status == "warn" then
      warnings[#warnings + 1] = { rule = "preflight", title = check.name, message = check.message, hint = check.mend }
    end
  end
  local found = results.migrate and results.migrate.plan and results.migrate.plan.findings or {}
  for _, list in ipairs { found, results.rls or {}, results.verdict and results.verdict.findings or {} } do
    for _, item in ipairs(list) do
      local into = item.severity == "info" and notices or warnings
      if into == warnings or item.rule == "segment" then
        into[#into + 1] = { rule = item.rule, title = item.rule, message = item.message, hint = item.hint,
          file = item.file, line = item.line }
      end
    end
  end
  return warnings, notices
end

---@class migrator.RunReport what a pipeline did, as values; every sink of steps.report prints from it
---@field result "done"|"stopped"|"failed"
---@field name? string of the pipeline
---@field stopped? string why it ended early, green
---@field at string when it began, ISO 8601
---@field duration_ms integer
---@field ci migrator.RunOrigin
---@field server? { version: string, database: string, user: string, host?: string }
---@field applied? integer @field pending? integer @field round_trips? integer
---@field steps { name: string, status: string, elapsed: number, duration_ms: integer, what: string }[]
---@field migrations { tag: string, file: string, status: "applied"|"failed"|"pending", duration_ms: integer,
---  lock?: table }[]
---@field warnings migrator.RunNote[] @field notices migrator.RunNote[]
---@field secrets { name: string, from: string, version?: string }[]
---@field error? migrator.Error

---@class migrator.RunNote
---@field rule? string @field title? string @field message string @field hint? string @field file? string
---@field line? integer

---@class migrator.RunOrigin
---@field provider? "github"|"gitlab" @field actor? string @field commit? string @field ref? string @field job? string
---@field url? string of the run @field commit_url? string

---@param ctx migrator.Context of a pipeline whose other steps are over
---@return migrator.RunReport
function M.run(ctx)
  local results = ctx.results
  local migrated = results.migrate
  local state = migrated and migrated.server or results.identity or results.gate and results.gate.server
    or results.verdict and results.verdict.server
  local warnings, notices = notes_of(ctx)
  local outcome = migrated and migrated.outcome
  return { result = ctx.error and "failed" or ctx.stopped and "stopped" or "done", name = ctx.name,
    stopped = not ctx.error and ctx.stopped or nil,
    at = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(os.time() - ctx.elapsed)), duration_ms = ms(ctx.elapsed),
    ci = M.origin(ctx.config.environment), server = server(state), round_trips = migrated and migrated.round_trips,
    applied = outcome and #outcome.applied, pending = outcome and #outcome.pending, steps = steps_of(ctx),
    migrations = migrations_of(migrated, ctx.error), warnings = warnings, notices = notices,
    secrets = results.secrets or {}, error = ctx.error }
end

return M
