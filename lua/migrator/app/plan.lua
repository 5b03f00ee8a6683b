---migrator plan: what migrate would do, statement by statement, or the script that does the same.
local danger = require "migrator.plan.danger"
local describe = require "migrator.plan.describe"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local facts = require "migrator.plan.facts"
local host = require "migrator.core.host"
local locks = require "migrator.plan.locks"
local report = require "migrator.report"
local script = require "migrator.plan.script"

local M = {}

local PENDING = 10
local WIDTH = 100
local MOST = 5 -- problems shown

local function one_line(text)
  text = text:gsub("%s+", " ")
  if #text <= WIDTH then return text end
  local cut = utf8.len(text) and utf8.len(text) > WIDTH and utf8.offset(text, WIDTH) - 1 or #text
  return cut < #text and text:sub(1, cut) .. "…" or text
end

local function is_shown(finding, sink) return finding.severity ~= "info" or sink.verbose end

local function print_statement(sink, statement, dangers)
  local text = sink.verbose and statement.text or one_line(statement.text)
  sink:line(("  %s:%d: %s%s"):format(statement.file, statement.line, statement.done and "(done) " or "", text))
  for _, lock in ipairs(statement.locks) do
    if sink.verbose or locks.covers(lock.mode, "ROW EXCLUSIVE") then -- those below only keep ACCESS EXCLUSIVE waiting
      sink:line(sink:paint("stdout", "dim", ("      locks %s%s: %s"):format(lock.object,
        lock.table_too and " and its table" or "", lock.mode)))
    end
  end
  for _, found in ipairs(statement.destructive) do
    sink:line(sink:paint("stdout", found.loses == "data" and "red" or "yellow", "      destructive: " .. found.message))
  end
  for _, found in ipairs(dangers[statement] or {}) do
    if is_shown(found, sink) then
      sink:line(sink:paint("stdout", found.severity == "warning" and "yellow" or "dim",
        ("      %s (%s): %s"):format(found.severity, found.rule, found.message)))
      sink:line("        hint: " .. found.hint)
    end
  end
  if statement.unreadable then sink:line(sink:paint("stdout", "yellow", "      " .. statement.unreadable)) end
end

local function print_segment(sink, segment, of, dangers)
  local how = segment.kind == "transaction" and "one transaction" or "statement by statement, outside a transaction"
  sink:line(sink:paint("stdout", "bold", ("Part %d of %d: %s"):format(segment.number, of, how)))
  if segment.reason then sink:line("  because " .. segment.reason) end
  for _, migration in ipairs(segment.migrations) do
    if migration.headers then
      sink:line(("  %s: asks for %s"):format(migration.file, table.concat(migration.headers, ", ")))
    end
    if #migration.statements == 0 then sink:line(("  %s: no statement; it is only recorded"):format(migration.file)) end
    for _, statement in ipairs(migration.statements) do print_statement(sink, statement, dangers) end
    for _, found in ipairs(migration.destructive) do
      sink:line(sink:paint("stdout", "red", ("  %s: destructive: %s"):format(migration.file, found.message)))
    end
  end
end

local function print_plan(sink, plan, described, dangers)
  sink:line(("Migration state: %d applied, %d expected, %d pending"):format(plan.applied, plan.expected, #plan.pending))
  for _, segment in ipairs(described.segments) do print_segment(sink, segment, #described.segments, dangers) end
  if #plan.pending > 0 and #plan.problems == 0 then
    sink:line(("%d statement(s) in %d migration(s), %d of them destructive"):format(described.statements, #plan.pending,
      described.destructive))
  elseif #plan.problems == 0 then
    sink:line("Nothing to do.")
  end
end

---@param plan migrator.Plan
---@param session migrator.Session
local function document(plan, session, described)
  local out = report.status(plan, session.state)
  out.segments, out.statements, out.destructive = described.segments, described.statements, described.destructive
  out.failed = out.problems[1]
  return out
end

local function print_notes(sink, plan)
  for _, finding in ipairs(plan.findings) do
    if finding.rule ~= "segment" and is_shown(finding, sink) then
      sink:diagnostic(finding.severity, finding.message)
    end
  end
  for i, problem in ipairs(plan.problems) do
    if i <= MOST then sink:diagnostic("error", problem.message .. "\n  hint: " .. problem.hint) end
  end
  if #plan.problems > MOST then
    sink:diagnostic("error", ("and %d more; `migrator status` shows them all"):format(#plan.problems - MOST))
  end
end

---Looks for what is dangerous on a database in use, and adds it to the findings of the plan. That only warns: where the
---catalogue may not be read, sizes are unknown.
---@return migrator.Danger[]
local function find_dangers(plan, session, described)
  local needs = danger.needs(described.seen)
  local ok, known = pcall(facts.relations, session.conn, needs)
  if not ok then
    if not (errors.is(known, "sql") or errors.is(known, "lock")) then error(known, 0) end
    table.insert(plan.findings, { rule = "sizes", severity = "warning",
      message = "how large the tables are could not be learned: " .. known.message })
    known = { relations = {}, volatile = {} }
  end
  local out = danger.find(described.seen, known)
  table.move(out, 1, #out, #plan.findings + 1, plan.findings)
  return out
end

---The dangers under their statements, or for a script, which has no place for them, as notes.
local function place_dangers(sink, dangers, noted)
  local out = {}
  for _, found in ipairs(dangers) do
    out[found.of.shown] = out[found.of.shown] or {}
    table.insert(out[found.of.shown], found)
    if noted and is_shown(found, sink) then
      sink:diagnostic(found.severity, ("%s:%d: %s\n  hint: %s"):format(found.file, found.line, found.message,
        found.hint))
    end
  end
  return out
end

---The script is the repository's own text: a mask over it could only make another script of it.
local function print_script(config, plan, session)
  engine.refuse(plan)
  for _, segment in ipairs(plan.segments) do
    local item = segment.items[1]
    if item.done then
      errors.raise("config", { message = ("%s stopped part way: a script for psql cannot go on there"):format(
        item.entry.tag), file = item.entry.path, hint = "`migrator migrate` goes on behind what is done" })
    end
  end
  local text = script.run(plan, session, { lock_timeout = config.lock_timeout,
    statement_timeout = config.statement_timeout })
  if not host.write("stdout", text) then errors.raise("config", "standard output could not be written") end
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { sql?: boolean, check?: boolean }
function M.run(config, sink, args)
  if args.sql and config.json then errors.raise("usage", "--sql and --json are two different outputs: choose one") end
  local journal = engine.journal(config)
  local session = engine.open_for(journal, config, { deadline = engine.deadline(config) })
  local _ <close> = session.conn
  local plan = engine.plan(config, journal, session, true)
  print_notes(sink, plan)
  local described = describe.run(plan)
  local dangers = place_dangers(sink, find_dangers(plan, session, described), args.sql)
  if args.sql then
    print_script(config, plan, session)
  else
    print_plan(sink, plan, described, dangers)
    sink:document(document(plan, session, described))
  end
  if #plan.problems > 0 then return 1 end
  return args.check and #plan.pending > 0 and PENDING or 0
end

return M
