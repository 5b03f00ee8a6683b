---migrator status: what is applied, pending, edited, stranded, missing. Reads only, takes no lock.
local lazy = require "migrator.lib.lazy"
local audit = lazy.require "migrator.audit"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local repeatable = require "migrator.repeatable"
local report = require "migrator.report"
local server = require "migrator.server"

local array = require("migrator.sink").array

local M = {}

local PENDING = 10
local KIND = { direct = "direct", session = "through a pooler in session mode",
  transaction = "through a pooler in transaction mode" }
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

---What is between us and the server; a second session that a pooler does not give is no reason to say nothing.
local function look_between(config, session)
  local ok, err = pcall(server.kind, session.state, session.conn, function()
    return engine.connect(config, engine.deadline(config))
  end)
  if not ok and errors.is(err, "interrupted") then error(err, 0) end
end

---The scripts outside the journal: those of the folder that is set, or of the one of our name when the database has
---seen it.
---@return table[]|nil for the document, integer waiting
local function look_at_scripts(config, session, sink, all)
  local folder = config.repeatable or repeatable.find_folder()
  if not folder or not config.repeatable and not repeatable.is_kept(session.conn) then return nil, 0 end
  local items, removed = repeatable.compare(session.conn, session.tracking, repeatable.load(folder))
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

local function what_of(row)
  local names = {}
  for i, item in ipairs(row.applied) do names[i] = item.name end
  local text = #names > 3 and ("%s and %d more"):format(table.concat(names, ", ", 1, 3), #names - 3)
    or table.concat(names, ", ")
  if not row.error then return text end
  return (text ~= "" and text .. "; " or "") .. row.error:match("^[^\n]*")
end

---The audit trail instead of the state: no journal is needed.
local function history(config, sink, args)
  local count = math.tointeger(tonumber(args.history))
  if not count or count < 1 then
    errors.raise("usage", { message = ("--history wants a whole number from 1, got %q"):format(args.history) })
  end
  if args.check or args.all then errors.raise("usage", "--history stands alone: no --check, no --all") end
  local conn <close> = engine.connect(config, engine.deadline(config))
  local found = audit.history(conn, count)
  if not found then
    sink:line("No audit trail: it begins with the first run with --audit, or with audit = true in the project's file")
  end
  local rows = { { "finished (UTC)", "command", "result", "time", "actor", "user", "commit", "what" } }
  for _, row in ipairs(found or {}) do
    row.applied = array(row.applied)
    rows[#rows + 1] = { row.finished_at:sub(1, 19):gsub("T", " "), row.command,
      sink:paint("stdout", row.result == "ok" and "green" or "red", row.result), row.duration_ms .. " ms",
      row.actor or "-", row.db_user, row.commit and row.commit:sub(1, 12) or "-", what_of(row) }
  end
  if found then sink:table(rows) end
  sink:document { history = array(found or {}) }
  return 0
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { check?: boolean, all?: boolean, history?: string }
function M.run(config, sink, args)
  if args.history then return history(config, sink, args) end
  local journal = engine.journal(config)
  local session = engine.open_for(journal, config, { deadline = engine.deadline(config) })
  local _ <close> = session.conn
  local plan = engine.plan(config, journal, session)
  look_between(config, session)
  sink:line(("Migration state: %d applied, %d expected, %d pending"):format(plan.applied, plan.expected, #plan.pending))
  sink:line(("Database: %s as %s on %s, PostgreSQL %s, %s"):format(session.state.database, session.state.user,
    session.state.host or "local", session.state.version, KIND[session.state.kind] or "through a pooler"))
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
