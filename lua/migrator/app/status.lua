---migrator status: what is applied, pending, edited, stranded, missing. Reads only, takes no lock.
local engine = require "migrator.engine"
local repeatable = require "migrator.repeatable"
local report = require "migrator.report"

local array = require("migrator.sink").array

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

---The scripts outside the journal: those of the folder that is set, or of the one of our name when the database has
---seen it.
---@return table[]|nil for the document, integer waiting
local function look_at_scripts(config, session, sink, all)
  local folder = config.repeatable or repeatable.find_folder()
  if not folder then return nil, 0 end
  local items, removed, kept = repeatable.compare(session.conn, session.tracking, repeatable.load(folder))
  if not config.repeatable and not kept then return nil, 0 end
  local rows, out, waiting = { { "state", "repeatable script" } }, array {}, 0
  local function add(state, path)
    out[#out + 1] = { path = path, state = state }
    if state ~= "unchanged" then waiting = waiting + 1 end
    if all or state ~= "unchanged" then rows[#rows + 1] = { state, path } end
  end
  for _, item in ipairs(items) do add(item.state, item.file.path) end
  for _, path in ipairs(removed) do add("removed", path) end
  sink:line(("Repeatable scripts: %d, %d to run"):format(#items, waiting - #removed))
  if #rows > 1 then sink:table(rows) end
  return out, waiting - #removed
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
  local scripts, waiting = look_at_scripts(config, session, sink, args.all or sink.verbose)
  local document = report.status(plan, session.state)
  document.repeatable = scripts
  if args.check then document.failed = document.problems[1] end
  sink:document(document)
  if args.check then
    if #plan.problems > 0 then return 1 end
    if #plan.pending > 0 or waiting > 0 then return PENDING end
  end
  return 0
end

return M
