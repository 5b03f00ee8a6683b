---The run lock: one run at a time on a database, and who has it when it is not us.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local server = require "migrator.server"

local M = {}

local function say(holder) return "another run holds the lock: " .. server.describe_holder(holder) end

local function look(session)
  session.state, session.rows = server.look(session.conn, session.tracking, true, session.state.pid)
end

-- Seconds. The server takes a moment to end the session of a run that has just ended: not worth a word or a refusal.
local GRACE = 0.05

---Polls for the run lock. Never a blocking wait: that would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for
---it.
---@param config migrator.Config
---@param session migrator.Session its state and rows are those of the last look
---@param emit fun(name: string, data: table)
function M.wait(config, session, emit)
  if session.state.locked == true then return end
  clock.sleep(GRACE)
  look(session)
  local deadline, every, told = clock.deadline(config.wait), 0.2, nil
  while session.state.locked ~= true do
    local holder = server.find_holder(session.conn, session.tracking.key)
    if holder and holder.pid ~= told then
      told = holder.pid
      emit("waiting", { message = say(holder) .. (config.wait > 0 and "; waiting" or "") })
    end
    if clock.now() >= deadline then
      errors.raise("lock", { message = holder and say(holder) or "the run lock is held by another session",
        hint = "nothing was changed; retry, or wait longer with --wait" })
    end
    clock.sleep(math.min(every, math.max(0.01, deadline - clock.now())))
    every = math.min(2, every * 1.5)
    look(session)
  end
end

return M
