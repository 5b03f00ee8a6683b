---The only writer: walks the segments of a Plan and says what became of each migration, on failure too.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local settle = require "migrator.apply.settle"
local statements = require "migrator.apply.statements"
local transaction = require "migrator.apply.transaction"

local M = {}

---@class migrator.Outcome
---@field applied { entry: migrator.Entry, elapsed: number }[]
---@field failed? { entry: migrator.Entry|nil, error: migrator.Error }
---@field pending migrator.Entry[] what was not reached, or rolled back
---@field elapsed number seconds

local RUNNERS = { transaction = transaction.run, statements = statements.run }

-- A signal may end this anywhere, and then it is done again.
local function remember(ctx, outcome, done)
  for _, item in ipairs(done) do
    if not outcome.known[item.entry] then
      outcome.known[item.entry] = true
      outcome.applied[#outcome.applied + 1] = item
      ctx.rows[#ctx.rows + 1] = { hash = item.entry.hash, created_at = item.entry.when }
      ctx.emit("applied", item)
    end
  end
  ctx.tracked, ctx.has_schema = true, true
end

---Runs one segment, again where the policy says that a failure passes.
local function run_segment(ctx, segment)
  local attempt = 1
  while true do
    local ok, result = pcall(RUNNERS[segment.kind], ctx, segment)
    ctx.watch:close()
    if ok then return result end
    if settle.is_open(ctx, result) then error(result, 0) end
    local wait = errors.is(result) and ctx.retry and ctx.retry(result, attempt)
    if not wait then error(result, 0) end
    if ctx.deadline and clock.now() + wait >= ctx.deadline then error(result, 0) end
    ctx.emit("retry", { error = result, attempt = attempt, wait = wait })
    clock.sleep(wait)
    attempt = attempt + 1
  end
end

---Runs a segment and remembers what it did; when it ends in a way behind which its COMMIT may have happened, finds out.
local function run_and_remember(ctx, segment, outcome)
  ctx.flight = nil
  local ok, result = pcall(function()
    local done = run_segment(ctx, segment)
    if not ctx.rehearse then remember(ctx, outcome, done) end
    return done
  end)
  if ok then return result end
  if not settle.is_open(ctx, result) then error(result, 0) end
  result = settle.run(ctx, segment, result)
  remember(ctx, outcome, result)
  return result
end

local function left_over(plan, outcome)
  local done, out = {}, {}
  for _, item in ipairs(outcome.applied) do done[item.entry] = true end
  for _, entry in ipairs(plan.pending) do
    if not done[entry] then out[#out + 1] = entry end
  end
  return out
end

---A rehearsal is one transaction that is rolled back: what cannot be in one, or needs an earlier one committed, cannot be
---rehearsed.
local function check_rehearsal(segments)
  for number, segment in ipairs(segments) do
    if number > 1 or segment.kind ~= "transaction" then
      errors.raise("config", { message = "this run cannot be rehearsed: it is not one transaction",
        detail = segment.reason, hint = "--ephemeral runs everything for real, on a throw-away server" })
    end
  end
end

---@param plan migrator.Plan
---@param ctx { conn: migrator.Conn, tracking: migrator.Tracking, rows: migrator.Row[], tracked: boolean,
---  has_schema: boolean, rehearse: boolean, lock_first: boolean, emit: fun(name: string, data: table),
---  pid: integer, watch: table, answer: fun(self: table, batch: any, meta: table): any, deadline: number|nil,
---  retry: function|nil, reconnect: fun(until_when: number): migrator.Conn, relock: fun() }
---@return migrator.Outcome
function M.run(plan, ctx)
  local started = clock.now()
  local outcome = { applied = {}, pending = {}, known = {} }
  local segments = plan.segments
  if #segments == 0 and not ctx.tracked then segments = { { kind = "transaction", items = {} } } end -- as Drizzle does
  if ctx.rehearse then check_rehearsal(segments) end
  ctx.rows = table.move(ctx.rows, 1, #ctx.rows, 1, {})
  for number, segment in ipairs(segments) do
    ctx.emit("segment", { number = number, of = #segments, segment = segment })
    local ok, result = pcall(run_and_remember, ctx, segment, outcome)
    local failure = not ok and result or result.failure
    if failure and not (ok and number == #segments and errors.is(failure, "connect")) then
      local err = errors.wrap(failure, "internal")
      outcome.failed = { error = err, tag = err.migration }
      break
    end
    if ctx.rehearse then
      outcome.rehearsed = #result
      break
    end
  end
  outcome.pending = left_over(plan, outcome)
  outcome.elapsed = clock.now() - started
  return outcome
end

return M
