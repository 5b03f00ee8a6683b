---An error as people know it from compilers: where, what, the line with a caret, and what to do.
local advice = require "migrator.lib.advice"
local clock = require "migrator.core.clock"
local duration = require "migrator.lib.duration"
local mask = require "migrator.lib.mask"

local M = {}

local PASSED = "deadline passed"

local function caret(err, out)
  if not err.snippet or not err.line then return end
  local number = tostring(err.line)
  local pad = (" "):rep(math.max(#number, 4))
  local column = err.column or 1
  local snippet = mask.apply(err.snippet) -- before it is cut: of what was cut, nothing knows that it is a secret
  if snippet ~= err.snippet then column = #mask.apply(err.snippet:sub(1, column - 1)) + 1 end
  snippet = snippet:gsub("\t", " ")
  if utf8.len(snippet) and utf8.len(snippet) > 160 then
    local first = math.max(1, column - 60)
    local last = math.min(utf8.len(snippet), first + 150)
    snippet = "…" .. snippet:sub(utf8.offset(snippet, first), utf8.offset(snippet, last + 1) - 1)
    column = column - first + 2
  end
  out[#out + 1] = (" "):rep(#pad - #number) .. number .. " | " .. snippet
  out[#out + 1] = pad .. " | " .. (" "):rep(column - 1) .. "^"
end

local function add_field(out, label, text)
  if not text or text == "" then return end
  for i, line in ipairs(M.lines(text)) do out[#out + 1] = (i == 1 and ("  %s: "):format(label) or "    ") .. line end
end

function M.lines(text)
  local out = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do out[#out + 1] = line end
  return out
end

-- Of a script's error the frames between it and us say nothing to who wrote it.
local function own_frames(traceback)
  local out = {}
  for _, line in ipairs(M.lines(traceback)) do
    local ours = line:find("^%s*%[C%]:") or line:find("^%s*migrator:") or line:find("^%s*%(%.%.%.tail calls%.%.%.%)")
    if not ours then out[#out + 1] = line end
  end
  return #out > 1 and table.concat(out, "\n") or nil
end

---@param err migrator.Error
---@param verbose boolean
---@return string[] lines, the first without `error:`
function M.format(err, verbose)
  local out = { tostring(err) }
  caret(err, out)
  add_field(out, "detail", err.detail)
  add_field(out, "context", err.context)
  if err.step then add_field(out, "step", err.step) end
  add_field(out, "hint", advice.find(err))
  add_field(out, "state", err.state)
  add_field(out, "restore", err.restore)
  add_field(out, "log", err.log)
  if err.traceback and (verbose or err.code == "internal" or err.code == "script") then
    local whole = verbose or err.code ~= "script"
    add_field(out, "traceback", whole and err.traceback or own_frames(err.traceback))
  end
  return out
end

---Says whose deadline it was that passed: the driver only knows that one did.
---@param err migrator.Error
---@param at number|nil when it was due
---@param seconds number
---@param name string of the setting
function M.name_deadline(err, at, seconds, name)
  if not at or clock.now() < at or rawget(err, "code") ~= "timeout" or err.message:sub(-#PASSED) ~= PASSED then
    return
  end
  local before = err.message:sub(1, -#PASSED - 1):gsub("the %a+'s $", "")
  err.message = before .. ("the deadline of %s passed (%s)"):format(duration.format(seconds),
    name)
end

---What people get to know beyond what the error says by itself.
---@param sink migrator.Sink
---@param err migrator.Error
function M.explain(sink, err)
  if sink.limit then M.name_deadline(err, sink.limit.at, sink.limit.seconds, "--deadline") end
end

---The annotation for a CI system.
---@return migrator.Note
function M.note(err)
  local hint = advice.find(err)
  return { message = err.message .. (hint and "\n" .. hint or ""), file = err.file, line = err.line, col = err.column,
    title = err.migration and "Migration " .. err.migration or "migrator: " .. err.code }
end

-- On standard error, which GitHub's runner reads as well: standard output may be a document.
local function annotate(sink, err)
  if not sink.github or rawget(err, "annotated") or err.code == "interrupted" then return end
  local note = M.note(err)
  note.file = require("migrator.sink.place").of(sink.environment, note.file)
  sink:write("stderr", require("migrator.ci").command("error", note, note.message))
end

---The end of a failed run: the error for people and, when nothing else was written with --json, its document.
---@param sink migrator.Sink
---@param err migrator.Error
function M.print(sink, err)
  M.explain(sink, err)
  sink:diagnostic("error", table.concat(M.format(err, sink.verbose), "\n"))
  annotate(sink, err)
  if not sink.documented then sink:document { error = M.document(err) } end
end

---The error for --json.
function M.document(err)
  local out = {}
  for _, key in ipairs { "code", "message", "sqlstate", "severity", "detail", "hint", "context", "position",
    "statement", "file",
    "line", "column", "snippet", "migration", "step", "state", "restore" } do
    out[key] = rawget(err, key)
  end
  out.hint = advice.find(err)
  return out
end

return M
