---Annotations of a run: what failed at its line, and the warnings. GitHub shows ten of each kind for a step, so the
---tenth says how many more there are.
local ci = require "migrator.ci"
local cut = require("migrator.lib.text").cut
local failure = require "migrator.sink.failure"
local place = require "migrator.sink.place"

local M = {}

local MOST = 10
local MORE = "%d more %ss: GitHub shows no more than %d of a kind; the summary of the run lists them"
local MESSAGE = 4096 -- bytes of one

---@param run migrator.RunReport
---@return { level: "error"|"warning"|"notice", message: string, title?: string, file?: string, line?: integer }[]
function M.of(run)
  local out = {}
  if run.error then
    local note = failure.note(run.error)
    note.level = "error"
    out[1] = note
  end
  for _, level in ipairs { "warning", "notice" } do
    local list = run[level .. "s"]
    for i, item in ipairs(list) do
      if i == MOST and #list > MOST then
        out[#out + 1] = { level = level, title = "migrator", message = MORE:format(#list - MOST + 1, level, MOST) }
        break
      end
      out[#out + 1] = { level = level, title = item.title, file = item.file, line = item.line,
        message = item.message .. (item.hint and "\n" .. item.hint or "") }
    end
  end
  for _, note in ipairs(out) do note.message = cut(note.message, MESSAGE) end
  return out
end

---@param ctx migrator.Context
---@param run migrator.RunReport
function M.print(ctx, run)
  local stream = ctx.sink.json_mode and "stderr" or "stdout"
  for _, note in ipairs(M.of(run)) do
    ctx.sink:write(stream, ci.command(note.level, { file = place.of(ctx.config.environment, note.file),
      line = note.line, col = note.col, title = note.title }, note.message))
  end
  if run.error then rawset(run.error, "annotated", true) end
end

return M
