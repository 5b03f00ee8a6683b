---The report as GitLab's code quality: what failed and the findings, each at a line of the repository.
local advice = require "migrator.lib.advice"
local file = require "migrator.sink.file"
local hash = require "migrator.core.hash"
local mask = require "migrator.lib.mask"
local place = require "migrator.sink.place"
local sink = require "migrator.sink"

local M = {}

local function add(out, seen, item)
  -- The line is not part of it: what moves within its file is no new finding.
  local key = table.concat({ item.check_name, item.path, item.description }, "\0")
  seen[key] = (seen[key] or 0) + 1
  out[#out + 1] = { description = item.description, check_name = item.check_name, severity = item.severity,
    fingerprint = hash.sha256(key .. "\0" .. seen[key]),
    location = { path = item.path, lines = { begin = math.max(1, item.line or 1) } } }
end

---GitLab drops the whole file for one entry without a place: what has none stands at the script, or at the journal.
local function fallback(ctx)
  local environment = ctx.config.environment
  local dir = (ctx.migrate_config or ctx.config).dir
  return place.of(environment, ctx.script) or dir and place.of(environment, dir .. "/meta/_journal.json")
    or ".gitlab-ci.yml"
end

---@param ctx migrator.Context
---@param run migrator.RunReport
---@return table[]
function M.document(ctx, run)
  local out, seen, environment = sink.array {}, {}, ctx.config.environment
  local function path_of(path) return place.of(environment, path) or fallback(ctx) end
  local err = run.error
  if err then
    local hint = advice.find(err)
    add(out, seen, { description = mask.apply(err.message .. (hint and " (" .. hint .. ")" or "")), line = err.line,
      check_name = "migrator." .. err.code, severity = "blocker", path = path_of(err.file) })
  end
  local function add_all(list, severity)
    for _, note in ipairs(list) do
      add(out, seen, { description = mask.apply(note.message .. (note.hint and " (" .. note.hint .. ")" or "")),
        check_name = "migrator." .. (note.rule or "warning"), severity = severity, path = path_of(note.file),
        line = note.line })
    end
  end
  add_all(run.warnings, "major")
  add_all(run.notices, "info")
  return out
end

function M.write(ctx, path, run) file.write_json(path, M.document(ctx, run)) end

return M
