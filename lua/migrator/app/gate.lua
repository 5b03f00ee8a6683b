---migrator gate: may this checkout's code be deployed on this database? Reads only, takes no lock.
local array = require("migrator.sink").array
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local gate = require "migrator.gate"
local outputs = require "migrator.sink.outputs"

local M = {}

local function document(verdict)
  local server = verdict.server
  local out = { ok = verdict.ok, required = verdict.required, needed = verdict.needed, applied = verdict.applied,
    pending = array {}, lacking = array {}, ahead = verdict.ahead, round_trips = verdict.round_trips,
    server = { version = server.version, database = server.database, user = server.user, host = server.host } }
  for i, item in ipairs(verdict.lacking) do
    out.lacking[i] = { tag = item.tag, state = item.state }
    if item.state == "pending" then table.insert(out.pending, item.tag) end
  end
  return out
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { require?: string }
function M.run(config, sink, args)
  local read_by_runner = config.environment.GITHUB_ACTIONS == "true"
    and (config.environment.GITHUB_OUTPUT or "") ~= "" -- elsewhere standard output belongs to the result
  local ok, result = pcall(gate.check, config, { require = args.require, deadline = engine.deadline(config) })
  if not ok then
    if read_by_runner then outputs.write { gate = "fail" } end
    error(result, 0)
  end
  if read_by_runner then
    outputs.write { changed = not result.ok, applied = result.applied, pending = #result.lacking,
      gate = result.ok and "pass" or "fail" }
  end
  local closed, err = pcall(gate.refuse, result)
  local out = document(result)
  if not closed then
    err = errors.wrap(err, "internal")
    out.failed = failure.document(err)
  end
  sink:document(out)
  if not closed then error(err, 0) end
  sink:line(gate.describe(result))
  return 0
end

return M
