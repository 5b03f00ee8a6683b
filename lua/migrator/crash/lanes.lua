---Several jobs side by side, each a coroutine that waits for other programs: one thread is enough for all.
local clock = require "migrator.core.clock"

local M = {}

local PAUSE = 0.001 -- seconds between two looks at what is waited for

---Waits until the function answers something true; other lanes go on meanwhile, where there are any.
---@generic T
---@param answer fun(): T
---@return T
function M.await(answer)
  while true do
    local found = answer()
    if found then return found end
    if coroutine.isyieldable() then coroutine.yield() else clock.sleep(PAUSE) end
  end
end

---Runs `work` for every job, in order, in as many lanes as asked for. The first error ends them all.
---@generic T
---@param count integer
---@param jobs T[]
---@param work fun(job: T, lane: integer)
function M.run(count, jobs, work)
  local at, lanes = 0, {}
  local function lane_work(lane)
    while at < #jobs do
      at = at + 1
      work(jobs[at], lane)
    end
  end
  for lane = 1, count do lanes[lane] = coroutine.create(lane_work) end
  local stop <close> = setmetatable({}, { __close = function() -- luacheck: ignore stop
    for _, lane in pairs(lanes) do coroutine.close(lane) end
  end })
  while next(lanes) do
    for number, lane in pairs(lanes) do
      local ok, err = coroutine.resume(lane, number)
      if coroutine.status(lane) == "dead" then
        lanes[number] = nil
        if not ok then
          coroutine.close(lane)
          error(err, 0)
        end
      end
    end
    clock.sleep(PAUSE)
  end
end

return M
