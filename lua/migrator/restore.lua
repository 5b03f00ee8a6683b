---The way back, said when a run fails after it changed something: what the project's settings call it, and where the
---write-ahead log stood before the first change.
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

---@param result table of the run
---@param err migrator.Error
function M.explain(result, err)
  local changed = #result.outcome.applied > 0 or err.part_way or err.resume or err.settled == "unknown"
  err.restore = changed and result.restore or nil
end

return M
