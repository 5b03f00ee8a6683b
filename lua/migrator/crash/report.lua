---What a crash matrix found, for people and for programs.
local crash = require "migrator.crash"
local duration = require "migrator.lib.duration"
local errors = require "migrator.error"
local sink_module = require "migrator.sink"

local M = {}

local WORDS = { kill = "killed run", lose = "lost connection" }

local function place(point)
  return point.file and ("%s:%d"):format(point.file, point.line) or ""
end

local function document(result, seconds)
  local findings = sink_module.array {}
  for i, finding in ipairs(result.findings) do
    findings[i] = { how = finding.how, number = finding.number, point = finding.point.text, file = finding.point.file,
      line = finding.point.line and math.tointeger(finding.point.line), differences = finding.differences }
  end
  return { pending = result.pending, boundaries = result.boundaries, points = result.points,
    converged = result.converged, unreached = result.unreached, tried = result.tried, findings = findings,
    notes = sink_module.array(result.notes), server = { version = result.version },
    duration_ms = math.tointeger(seconds * 1000 // 1) }
end

local function print_text(sink, result, seconds)
  sink:line(("Crash matrix: %d pending migration(s), %d boundaries, PostgreSQL %s"):format(result.pending,
    result.boundaries, result.version))
  local rows = { { "disturbance", "points", "converged" } }
  for _, how in ipairs(crash.HOW) do
    local tried = result.tried[how]
    rows[#rows + 1] = { WORDS[how], tostring(tried.points), tostring(tried.converged) }
  end
  sink:table(rows)
  for _, note in ipairs(result.notes) do sink:diagnostic("notice", note) end
  if #result.findings > 0 then
    rows = { { "disturbance", "place", "point", "what differs" } }
    for _, finding in ipairs(result.findings) do
      rows[#rows + 1] = { WORDS[finding.how], place(finding.point), finding.point.text,
        table.concat(finding.differences, "; ") }
    end
    sink:table(rows)
  end
  sink:line(("%d kill points, %d converged (%s)"):format(result.points, result.converged, duration.format(seconds)))
end

---@param sink migrator.Sink
---@param result migrator.crash.Result
---@param seconds number
---@return integer exit code; raises `verify` when a point did not converge
function M.print(sink, result, seconds)
  sink:clear_progress()
  print_text(sink, result, seconds)
  sink:document(document(result, seconds))
  if result.converged == result.points then return 0 end
  local first = result.findings[1]
  errors.raise("verify", { message = ("%d of %d kill points do not converge"):format(#result.findings, result.points),
    file = first.point.file, line = first.point.line and math.tointeger(first.point.line),
    detail = ("first: %s, %s: %s"):format(WORDS[first.how], first.point.text, table.concat(first.differences, "; ")),
    hint = "an interrupted deploy would need a person there: make that migration safe to continue" })
end

return M
