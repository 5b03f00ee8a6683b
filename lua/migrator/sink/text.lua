---What happens during a run, as lines of text and, on a terminal, a line of progress.
local lazy = require "migrator.lib.lazy"
local duration = lazy.require "migrator.lib.duration"

local M = {}

local HANDLERS = {}

function HANDLERS.state(sink, data)
  sink:line(("Migration state: %d applied, %d expected, %d pending"):format(data.applied, data.expected, data.pending))
end

function HANDLERS.finding(sink, data)
  if data.severity == "info" then
    sink:diagnostic(data.rule == "segment" and "notice" or "debug", data.message)
  else
    sink:diagnostic(data.severity, data.message)
  end
end

function HANDLERS.begin(sink) sink:line("Running migrations...") end

function HANDLERS.migration(sink, data, run)
  run.number = run.number + 1
  run.tag = data.entry.tag
  if data.resume then
    sink:diagnostic("notice", ("%s continues at statement %d of %d"):format(data.entry.tag, data.resume,
      data.statements))
  end
  sink:progress(("%d/%d %s (%s)"):format(run.number, run.total or 0, run.tag,
    duration.format(run.clock() - run.started)))
end

function HANDLERS.statement(sink, data)
  if sink.verbose then
    sink:diagnostic("debug", ("%s:%d %s, %s"):format(data.entry.path, data.statement.line, data.statement.words,
      duration.format(data.elapsed)))
  end
end

function HANDLERS.applied(sink, data)
  sink:diagnostic("debug", ("applied %s in %s"):format(data.entry.tag, duration.format(data.elapsed)))
end

local LEVEL = { WARNING = "warning", NOTICE = "notice", INFO = "info", LOG = "debug", DEBUG = "debug" }

---The same words again say nothing new: a table dropped and made anew in ten files would fill the screen.
function HANDLERS.notice(sink, data, run)
  local text = data.message .. (data.detail and " (" .. data.detail .. ")" or "")
  if run.told[text] and not sink.verbose then return end
  run.told[text] = true
  sink:diagnostic(LEVEL[data.severity] or "notice",
    (data.entry and data.entry.tag .. ": " or "") .. text:gsub("\n", "\n  "))
end

function HANDLERS.warning(sink, data) sink:diagnostic("warning", data.message) end

function HANDLERS.repeatable(sink, data) sink:line(data.message) end

function HANDLERS.waiting(sink, data)
  sink:diagnostic("notice", data.message)
end

local DOING = { lock = "waiting for a lock", snapshot = "waiting for older transactions" }

---Something long: on a terminal in the line of progress, elsewhere a line now and then.
function HANDLERS.heartbeat(sink, data)
  local text = ("%s:%d %s: %s%s"):format(data.entry.path, data.statement.line, data.statement.words,
    duration.format(data.elapsed), DOING[data.wait] and ", " .. DOING[data.wait] or "")
  if data.doing then text = text .. ", " .. data.doing end
  if not sink:progress(text) and data.due then sink:diagnostic("notice", text) end
end

function HANDLERS.retry(sink, data)
  sink:diagnostic("warning", ("%s; %s, trying again in %s (try %d)"):format(tostring(data.error),
    data.error.part_way and "what was done before it stays" or "everything was rolled back",
    duration.format(data.wait), data.attempt + 1))
end

function HANDLERS.rehearsed(sink, data)
  sink:line(("Rehearsed %d migration(s); everything was rolled back."):format(data.count))
end

function HANDLERS.done(sink, data)
  sink:line(("Migrations complete. Applied %d new migration(s)."):format(data.applied))
  sink:line(("Verified: database has all %d migrations."):format(data.expected))
end

---@param sink migrator.Sink
---@param clock fun(): number
---@return fun(name: string, data: table)
function M.subscribe(sink, clock)
  local run = { number = 0, clock = clock, started = clock(), told = {} }
  return function(name, data)
    if name == "begin" then run.total = data.total end
    local handler = HANDLERS[name]
    if handler then handler(sink, data, run) end
  end
end

return M
