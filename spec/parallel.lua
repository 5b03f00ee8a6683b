---The same specs by several processes at once, a file each: `migrator spec --jobs N [FILES]`. What each prints is put
---together again: a line per file as it ends, then what failed and what was skipped, then the total.
local clock = require "migrator.core.clock"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local process = require "migrator.core.process"

-- A file that is not through by then hangs.
local LIMIT, POLL = 900, 0.1

-- A file that begins with `-- alone: why` runs by itself, before the others.
local function is_alone(path) return fs.read(path):find("^%-%- alone: ") ~= nil end

local function collect(path, into)
  if fs.find(path) and fs.find(path).type == "directory" then
    for _, name in ipairs(fs.list(path)) do collect(path .. "/" .. name, into) end
  elseif path:find("_spec%.lua$") then
    into[#into + 1] = path
  end
end

---A file's share of the whole, from its process' output.
local function digest(job, total, print)
  local text = fs.find(job.log) and fs.read(job.log) or ""
  local passed, failed, skipped = text:match("(%d+) passed, (%d+) failed, (%d+) skipped\n*$")
  if not passed then
    passed, failed, skipped = 0, 1, 0
    print(("FAIL %s  ended without a total"):format(job.path))
    table.insert(total.details, ("\nFAILED %s: ended without a total\n%s"):format(job.path, text))
  end
  total.passed, total.failed = total.passed + tonumber(passed), total.failed + tonumber(failed)
  total.skipped = total.skipped + tonumber(skipped)
  local details = {}
  for line in text:gmatch("([^\n]*)\n") do
    if line:find("^ok   ") or line:find("^FAIL ") then
      print(line)
    elseif not line:find("^%d+ passed, %d+ failed, %d+ skipped$") then
      details[#details + 1] = line
    end
  end
  if #details > 0 and passed ~= 0 then table.insert(total.details, table.concat(details, "\n")) end
end

local function start(path, filter, folder, number)
  local log = ("%s/%d"):format(folder, number)
  local cmd = { host.program(), "spec", path }
  if filter then table.move({ "--filter", filter }, 1, 2, 4, cmd) end
  return { path = path, log = log, ends = clock.deadline(LIMIT), child = process.start { cmd = cmd, log = log } }
end

---@param sink migrator.Sink
---@param paths string[]
---@param filter? string
---@param jobs integer
---@return integer exit code
return function(sink, paths, filter, jobs)
  local files, running, total = {}, {}, { passed = 0, failed = 0, skipped = 0, details = {} }
  for _, path in ipairs(paths) do collect(path, files) end
  local folder <close> = setmetatable({ path = fs.temp "migrator-specs" }, -- luacheck: ignore folder
    { __close = function(self) fs.remove(self.path) end })
  local next_one, alone = 1, 0
  for i = 1, #files do
    if is_alone(files[i]) then
      alone = alone + 1
      table.insert(files, alone, table.remove(files, i))
    end
  end
  while next_one <= #files or #running > 0 do
    while #running < (next_one <= alone + 1 and 1 or jobs) and next_one <= #files do
      running[#running + 1] = start(files[next_one], filter, folder.path, next_one)
      next_one = next_one + 1
    end
    clock.sleep(POLL)
    for i = #running, 1, -1 do
      local job = running[i]
      if clock.now() > job.ends then job.child:stop() end
      if job.child:status() then
        digest(job, total, function(text) sink:line(text) end)
        job.child:stop()
        table.remove(running, i)
      end
    end
  end
  for _, text in ipairs(total.details) do sink:line(text) end
  sink:line(("%d passed, %d failed, %d skipped"):format(total.passed, total.failed, total.skipped))
  return total.failed > 0 and 1 or 0
end
