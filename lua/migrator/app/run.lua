---migrator FILE.lua [ARGS…]: runs a script; what it returns may be a pipeline, a function, an exit code, or nothing.
local clock = require "migrator.core.clock"
local duration = require "migrator.lib.duration"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local fs = require "migrator.core.fs"
local groups = require "migrator.sink.groups"
local host = require "migrator.core.host"
local pipeline = require "migrator.pipeline"
local prelude = require "migrator.prelude"
local sandbox = require "migrator.sandbox"
local sink_module = require "migrator.sink"

local M = {}

-- In a CI system's log each step can be folded, but for the report, which is what people look for.
local function narrator(sink, environment)
  local close
  return function(name, data)
    if name == "step" then
      sink:progress("step " .. data.name)
      close = data.name ~= "report" and groups.open(sink, environment, "step " .. data.name) or nil
    elseif name == "step_done" then
      if close then close() end
      close = nil
    elseif name == "note" then
      sink:diagnostic("info", data.message)
    elseif name == "warning" or name == "notice" then
      sink:diagnostic(name, data.message)
    end
  end
end

-- The sooner of the two deadlines is the one that passed.
local function explain(found, ctx, err)
  failure.explain(ctx.sink, err)
  if found.deadline then
    failure.name_deadline(err, ctx.deadline, duration.parse(found.deadline), "the pipeline's `deadline`")
  end
end

---The document of --json: that of the migrate step, when there was one, and the steps.
local function document(ctx, err)
  local out = ctx.results.document or { duration_ms = math.floor(ctx.elapsed * 1000 + 0.5) }
  out.steps = sink_module.array {}
  for i, record in ipairs(ctx.record) do
    out.steps[i] = { name = record.name, status = record.status, duration_ms = math.floor(record.elapsed * 1000 + 0.5) }
  end
  if ctx.results.secrets then out.secrets = sink_module.array(ctx.results.secrets) end
  if err then out.failed = failure.document(err) end
  return out
end

local function run_pipeline(found, config, sink, run)
  local ctx = { config = config, sink = sink, emit = narrator(sink, config.environment), name = found.name,
    script = run.path, deadline = run.deadline, args = run.args,
    clock = clock,
    values = { dsn = config.url and config.url:match("%S") and config.url or nil } }
  if found.deadline then
    local seconds = duration.parse(found.deadline)
    ctx.deadline = math.min(run.deadline or math.huge, clock.deadline(seconds))
    host.limit(ctx.deadline)
    run.deadline = ctx.deadline
    if run.conn and run.conn:status() ~= "closed" then run.conn:set_deadline(ctx.deadline) end
  end
  local err = pipeline.run(found, ctx)
  if err then explain(found, ctx, err) end
  if ctx.stopped and not err then sink:line(ctx.stopped) end
  sink:document(document(ctx, err))
  if err then error(err, 0) end
  return 0
end

local function exit_code(value)
  if value == nil or value == true then return 0 end
  if value == false then return 1 end
  if math.type(value) == "integer" and value >= 0 and value <= 255 then return value end
  errors.raise("script",
    { message = "a script returns a pipeline, a function, an exit code from 0 to 255, or nothing; it returned a "
    .. type(value) })
end

local function execute(config, sink, run)
  local env = prelude.environment(config, sink, run)
  host.limit(run.deadline)
  local before = pipeline.made()
  local result = sandbox.load(run.path, env)(table.unpack(run.args))
  if type(result) == "function" then result = result(table.unpack(run.args)) end
  if pipeline.is(result) then return run_pipeline(result, config, sink, run) end
  if pipeline.made() > before then
    errors.raise("script", { message = "a pipeline was made but not returned, so nothing of it ran", file = run.path,
      hint = "write `return pipeline { … }`" })
  end
  return exit_code(result)
end

---@param config migrator.Config
---@param sink migrator.Sink
function M.run(config, sink, args, parsed)
  local path = parsed.script or args.file
  if not path then errors.raise("usage", { message = "no script named", hint = "migrator FILE.lua [ARGS…]" }) end
  if not fs.find(path) then errors.raise("usage", { message = "no such file: " .. path }) end
  local run = { path = path, args = parsed.rest or {}, deadline = engine.deadline(config) }
  local started = clock.now()
  local result = table.pack(xpcall(execute, function(value)
    local err = errors.wrap(value, "script")
    if not err.traceback then rawset(err, "traceback", debug.traceback("", 2):gsub("^%s+", "")) end
    return err
  end, config, sink, run))
  host.limit()
  if run.conn then run.conn:close() end
  if not result[1] then error(errors.wrap(result[2], "script"), 0) end
  if not sink.documented then -- a script that is no pipeline has no document, but its end is worth knowing
    sink:document({ steps = sink_module.array {}, duration_ms = math.floor((clock.now() - started) * 1000) }, true)
  end
  return result[2]
end

return M
