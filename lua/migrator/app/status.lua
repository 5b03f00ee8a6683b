---migrator status: what is applied, pending, edited, stranded, missing. Reads only, takes no lock.
local engine = require "migrator.engine"
local report = require "migrator.report"

local M = {}

local PENDING = 10
local COLOR = { applied = "green", pending = "cyan", edited = "red", stranded = "red", moved = "yellow",
  baseline = "dim" }

local function date(ms) return os.date("!%Y-%m-%d %H:%M:%S", ms // 1000) end

local function print_entries(sink, plan, all)
  local rows = { { "idx", "state", "when (UTC)", "migration" } }
  for _, item in ipairs(plan.items) do
    if all or item.state ~= "applied" then
      rows[#rows + 1] = { tostring(item.entry.idx), item.state, date(item.entry.when), item.entry.tag }
    end
  end
  for _, row in ipairs(plan.missing) do
    rows[#rows + 1] = { "-", "missing", row.created_at and date(row.created_at) or "NULL",
      ("row %d, hash %s…"):format(row.id, row.hash:sub(1, 12)) }
  end
  if #rows > 1 then
    for i = 2, #rows do rows[i][2] = sink:paint("stdout", COLOR[rows[i][2]] or "red", rows[i][2]) end
    sink:table(rows)
  end
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { check?: boolean, all?: boolean }
function M.run(config, sink, args)
  local journal = engine.journal(config)
  local session = engine.open_for(journal, config, { deadline = engine.deadline(config) })
  local _ <close> = session.conn
  local plan = engine.plan(config, journal, session)
  sink:line(("Migration state: %d applied, %d expected, %d pending"):format(plan.applied, plan.expected, #plan.pending))
  sink:line(("Database: %s as %s on %s, PostgreSQL %s"):format(session.state.database, session.state.user,
    session.state.host or "local", session.state.version))
  print_entries(sink, plan, args.all or sink.verbose)
  for _, finding in ipairs(plan.findings) do
    if finding.severity ~= "info" or sink.verbose then sink:diagnostic(finding.severity, finding.message) end
  end
  for _, problem in ipairs(plan.problems) do
    sink:diagnostic("error", problem.message .. "\n  hint: " .. problem.hint)
  end
  local document = report.status(plan, session.state)
  if args.check then document.failed = document.problems[1] end
  sink:document(document)
  if args.check then
    if #plan.problems > 0 then return 1 end
    if #plan.pending > 0 then return PENDING end
  end
  return 0
end

return M
