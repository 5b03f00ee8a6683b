---migrator test --crash-matrix: can this deploy be interrupted? On a throw-away server the pending migrations are
---applied undisturbed, and then again and again, each time disturbed at another boundary and run once more; what is
---left must be what the undisturbed run left.
local engine = require "migrator.engine"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local lanes = require "migrator.crash.lanes"
local server_module = require "migrator.crash.server"
local state = require "migrator.crash.state"
local suggest = require "migrator.lib.suggest"
local tracking = require "migrator.tracking"

local M = {}

M.HOW = { "kill", "lose" }
M.LIMIT = 400

---@class migrator.crash.Finding
---@field how "kill"|"lose"
---@field point migrator.crash.Point
---@field differences string[]

---@class migrator.crash.Result
---@field pending integer migrations under test
---@field boundaries integer how many places there are to disturb it
---@field points integer kill points that were tried: a place, and how
---@field converged integer
---@field unreached integer where a run came to its end in fewer steps than the first one took
---@field tried table<string, { points: integer, converged: integer }> by how
---@field findings migrator.crash.Finding[]
---@field notes string[]
---@field version string of the server

---@param entries migrator.Entry[]
---@param tag? string
---@return integer how many are applied beforehand
local function count_before(entries, tag)
  if not tag then return 0 end
  local known = {}
  for i, entry in ipairs(entries) do
    if entry.tag == tag then return i end
    known[i] = entry.tag
  end
  errors.raise("usage", { message = ("the journal has no migration %q"):format(tag), hint = suggest.hint(tag, known) })
end

-- Evenly spread over the whole, both ends included where there is room.
local function spread(list, count)
  if count >= #list then return list end
  local out = {}
  for i = 1, count do out[i] = list[math.floor((i - 0.5) * #list / count) + 1] end
  return out
end

---Which boundaries to try: all of them, or those around commits and an even choice of the others.
---@param points migrator.crash.Point[]
---@param count integer at most that many
---@return integer[] numbers, rising
function M.choose(points, count)
  local vital, others = {}, {}
  for number, point in ipairs(points) do
    local list = point.vital and vital or others
    list[#list + 1] = number
  end
  local out = table.move(spread(vital, count), 1, math.min(#vital, count), 1, {})
  if count > #out then
    local more = spread(others, count - #out)
    table.move(more, 1, #more, #out + 1, out)
  end
  table.sort(out)
  return out
end

local Matrix = {}
Matrix.__index = Matrix

-- An undisturbed run on a database of its own, and all that can be said of it.
function Matrix:reference(name, how)
  local server = self.server
  server:clone(1, name)
  local ran = server:run(name, { how = how, skip = self.skip })
  if ran.code ~= 0 then
    errors.raise("sql", { message = "the migrations fail without being disturbed: " .. ran.message,
      hint = "`migrator migrate --ephemeral` shows more" })
  end
  local url = server:url_of(name)
  self.shape = self.shape or state.shape(url, tracking.new(self.config.schema, self.config.table))
  return { points = ran.points, dump = server:dump(name), columns = state.columns(url, self.shape) }
end

-- Twice, because what differs between two of them cannot be compared with a third.
function Matrix:look_undisturbed()
  local server = self.server
  local first = self:reference("crash_first", "record")
  self.serial = #server:new_roles(1) > 0
  server:drop(1, "crash_first")
  server.same_roles = not self.serial
  local second = self:reference("crash_second", "run")
  if first.dump ~= second.dump then
    errors.raise("config", { message = "two undisturbed runs leave different schemas: nothing can be compared",
      detail = state.compare_schema(first.dump, second.dump) })
  end
  local varying = state.skip_what_varies(self.shape, first.columns, second.columns)
  self.expected = state.take(server:url_of("crash_second"), self.shape, second.dump)
  server:drop(1, "crash_second")
  if #varying > 0 then
    self.notes[1] = "not compared, because two undisturbed runs differ in it: " .. table.concat(varying, ", ")
  end
  return first.points
end

local function judge_disturbed(job, ran)
  if job.how == "kill" and ran.signal ~= "KILL" then
    return ("the run ends before it comes there, with exit code %d: %s"):format(ran.code, ran.message)
  elseif job.how == "lose" and ran.code ~= 0 and ran.code ~= 4 then
    return ("the run that lost its session exits %d: %s"):format(ran.code, ran.message)
  end
end

---@return string[]|nil differences; nil when the run came to its end in fewer steps than the first one took
function Matrix:examine(job, lane)
  local server, name = self.server, "crash_" .. job.how .. "_" .. job.number
  server:clone(lane, name)
  local ran = server:run(name, { how = job.how, at = job.number, skip = self.skip })
  if ran.code == 0 and ran.points and #ran.points < job.number then
    server:drop(lane, name)
    return nil
  end
  local out = { judge_disturbed(job, ran) }
  local again = server:run(name, { how = "run", skip = self.skip })
  if again.code ~= 0 then
    out[#out + 1] = "the next run fails: " .. again.message
  else
    if job.how == "lose" and ran.code == 0 and again.applied > 0 then
      out[#out + 1] = ("the run exits 0, and the next one has %d migration(s) left"):format(again.applied)
    end
    local found = state.take(server:url_of(name), self.shape, server:dump(name))
    for _, text in ipairs(state.compare(self.shape, self.expected, found, self.skipping)) do out[#out + 1] = text end
  end
  server:drop(lane, name)
  server:forget(name)
  return out
end

local function new_result(matrix, points, numbers)
  local result = { pending = matrix.pending, boundaries = #points, points = #numbers * #M.HOW, converged = 0,
    unreached = 0, tried = {}, findings = {}, notes = matrix.notes, version = matrix.server.server.version }
  for _, how in ipairs(M.HOW) do result.tried[how] = { points = #numbers, converged = 0 } end
  if #numbers < #points then
    table.insert(result.notes, ("%d of %d boundaries were tried: those around commits first, the others evenly spread")
      :format(#numbers, #points))
  end
  return result
end

local function record(result, job, differences)
  if not differences then
    result.points, result.unreached = result.points - 1, result.unreached + 1
    result.tried[job.how].points = result.tried[job.how].points - 1
  elseif #differences == 0 then
    result.converged = result.converged + 1
    result.tried[job.how].converged = result.tried[job.how].converged + 1
  else
    table.insert(result.findings, { how = job.how, number = job.number, point = job.point, differences = differences })
  end
end

local function processors()
  local ok, text = pcall(fs.read, "/proc/stat")
  local _, count = (ok and text or ""):gsub("cpu%d+ ", "")
  return math.max(2, math.min(8, count))
end

function Matrix:try_all(points, limit, progress)
  local numbers = M.choose(points, limit == 0 and #points or math.max(1, limit // #M.HOW))
  local result, jobs, done = new_result(self, points, numbers), {}, 0
  for _, number in ipairs(numbers) do
    for _, how in ipairs(M.HOW) do jobs[#jobs + 1] = { number = number, how = how, point = points[number] } end
  end
  lanes.run(self.serial and 1 or processors(), jobs, function(job, lane)
    record(result, job, self:examine(job, lane))
    done = done + 1
    progress(done, #jobs, #result.findings)
  end)
  table.sort(result.findings, function(a, b)
    if a.number ~= b.number then return a.number < b.number end
    return a.how < b.how
  end)
  if result.unreached > 0 then
    table.insert(result.notes, ("%d point(s) were not reached: those runs took fewer steps than the first"):format(
      result.unreached))
  end
  local names = {}
  for name in pairs(self.skipping) do names[#names + 1] = name end
  table.sort(names)
  if #names > 0 then
    table.insert(result.notes, "numbers from sequences skip values after a rollback, as always: "
      .. table.concat(names, ", "))
  end
  return result
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param opts { after?: string, limit?: integer, progress?: fun(done: integer, of: integer, failures: integer) }
---@return migrator.crash.Result
function M.run(config, sink, opts)
  local entries = engine.journal(config).entries
  local skip = count_before(entries, opts.after)
  if skip == #entries then
    errors.raise("usage", { message = "there is no migration to test"
      .. (opts.after and " behind " .. opts.after or "") })
  end
  local server <close> = server_module.start(config, sink)
  server:prepare(skip)
  local matrix = setmetatable({ config = config, server = server, skip = skip, pending = #entries - skip, notes = {},
    skipping = {} }, Matrix)
  local points = matrix:look_undisturbed()
  return matrix:try_all(points, opts.limit or M.LIMIT, opts.progress or function() end)
end

return M
