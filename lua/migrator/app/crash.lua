---migrator crash, hidden: one run of the crash matrix, told by a file what to do. Only on a throw-away server of ours;
---the migrate that people use has no way of doing this to itself.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local config_module = require "migrator.config"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local names = require "migrator.crash.names"
local points = require "migrator.crash.points"
local sink_module = require "migrator.sink"
local strike = require "migrator.crash.strike"
local text = require "migrator.sink.text"
local tracking = require "migrator.tracking"

local M = {}

---@class migrator.crash.Job
---@field url string
---@field watch_url string
---@field settings table<string, any>
---@field how "run"|"record"|"kill"|"lose"
---@field at? integer
---@field skip integer how many entries of the journal are applied already
---@field notes string file to write what happened to

local function claim(conn)
  if conn:value("select pg_catalog.current_setting('cluster_name')") ~= "migrator-ephemeral" then
    errors.raise("usage", { message = "a run is only disturbed on a throw-away server",
      hint = "migrator test --crash-matrix" })
  end
end

local function install(config, job)
  local list = engine.journal(config).entries
  local opts = { target = math.tointeger(job.at), claim = claim,
    names = names.new(table.move(list, job.skip + 1, #list, 1, {}), tracking.new(config.schema, config.table)) }
  if job.how ~= "record" then
    for name, value in pairs(strike.new(job.how, job.url, job.watch_url)) do opts[name] = value end
  end
  return points.install(opts)
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { job: string }
function M.run(config, sink, args)
  local job = cjson.decode(fs.read(args.job)) ---@type migrator.crash.Job
  job.settings.url = job.url
  config = config_module.with(config, job.settings, "crash matrix")
  job.skip = math.tointeger(job.skip)
  local passed = job.how ~= "run" and install(config, job) or { list = {} }
  local result = engine.migrate(config, text.subscribe(sink, clock.now), { deadline = engine.deadline(config) })
  fs.write(job.notes, sink_module.encode { points = sink_module.array(passed.list),
    applied = result.outcome and #result.outcome.applied or 0 })
  if result.error then error(result.error, 0) end
  return 0
end

return M
