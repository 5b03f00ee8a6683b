---What a failed run leaves behind, what is to be done, and the way back: what the project's settings call it, and where
---the write-ahead log stood before the first change.
local errors = require "migrator.error"
local server = require "migrator.server"

local M = {}

---Notes the place, when there is a way back to name.
---@param config migrator.Config
---@param result table of the run
---@param conn migrator.Conn
function M.mark(config, result, conn)
  if not config.restore or config.rehearse then return end
  local lsn, time = server.recovery_point(conn)
  result.restore = ("%s (to before this run: %sat %s)"):format(config.restore,
    lsn and "WAL position " .. lsn .. ", " or "", time)
end

local function state_of(found, outcome)
  local last, applied = nil, {}
  for _, item in ipairs(outcome.applied) do applied[item.entry] = true end
  for _, item in ipairs(found.items) do
    if applied[item.entry] or item.row then last = item.entry.tag end
  end
  local failed = outcome.failed and outcome.failed.tag and 1 or 0
  if outcome.failed and outcome.failed.error.settled == "unknown" then
    return ("%d applied for sure, %d pending or not known to be; the database is at %s or behind it"):format(
      found.applied + #outcome.applied, #outcome.pending, last or "nothing")
  end
  return ("%d applied%s, %d pending; %s"):format(found.applied + #outcome.applied,
    failed == 1 and (outcome.failed.error.part_way and ", 1 failed part way" or ", 1 failed and rolled back") or "",
    #outcome.pending - failed, last and "the database is at " .. last or "nothing is applied")
end

local function advise_lost(err, hint)
  if err.code == "connect" or err.code == "timeout" then errors.add(err, { hint = hint }) end
end

---@param result table of the run
---@param err migrator.Error
function M.explain(result, err)
  result.error = err
  if not result.outcome then return advise_lost(err, "nothing was changed: run again") end
  advise_lost(err, "what was applied stays: run again, the rest is still to do")
  err.state = state_of(result.plan, result.outcome)
  local changed = #result.outcome.applied > 0 or err.part_way or err.resume or err.settled == "unknown"
  err.restore = changed and result.restore or nil
  if err.resume then
    err.state = err.state .. ("; its first %d of %d statements stay, the next run goes on behind them")
      :format(err.resume.statement - 1, err.resume.of)
  end
end

return M
