---A pipeline is data: a list of steps that say what they need and give. The chain is checked before the first one acts;
---undo always runs, last first; the steps marked `always` see every outcome.
local clock = require "migrator.core.clock"
local config_module = require "migrator.config"
local errors = require "migrator.error"
local host = require "migrator.core.host"
local suggest = require "migrator.lib.suggest"

local M = {}

local FINAL_SECONDS = 60 -- for what runs behind the deadline: undo, and the steps that always run

local Pipeline = {}
Pipeline.__index = Pipeline

---@class migrator.Step
---@field name string
---@field needs? string[] given by an earlier step or by the configuration
---@field gives? string[]
---@field check? fun(ctx: migrator.Context) looks at its options before anything runs
---@field early? fun(ctx: migrator.Context) begins what may take long while the step before it runs; its failure is none
---@field run fun(ctx: migrator.Context)
---@field undo? fun(ctx: migrator.Context, err: migrator.Error|nil)
---@field always? boolean runs after the others, whatever became of them

local KEYS = { "name", "needs", "gives", "check", "early", "run", "undo", "always", "options" }

local function to_step(value, position)
  if type(value) == "function" then return { name = "step " .. position, run = value } end
  if type(value) ~= "table" or type(value.run) ~= "function" then
    errors.raise("script", { message = ("pipeline: item %d is a %s, not a step"):format(position, type(value)),
      hint = "a step is made by steps.…, or is a function, or a table with `name` and `run`" })
  end
  for key in pairs(value) do
    local known = false
    for _, name in ipairs(KEYS) do known = known or key == name end
    if not known then
      errors.raise("script", { message = ("pipeline: step %d has an unknown field %q"):format(position, tostring(key)),
        hint = suggest.hint(tostring(key), KEYS) })
    end
  end
  if not value.name then value.name = "step " .. position end
  return value
end

local count_made = 0

---How many pipelines were made so far: one that was made and not returned is a mistake.
function M.made() return count_made end

local SPEC_KEYS = { "name", "deadline", "steps" }

local function check_keys(spec)
  for key in pairs(spec) do
    local known = math.type(key) == "integer"
    for _, name in ipairs(SPEC_KEYS) do known = known or key == name end
    if not known then
      errors.raise("script", { message = ("pipeline has no field %q"):format(tostring(key)),
        hint = suggest.hint(tostring(key), SPEC_KEYS) })
    end
  end
end

---`pipeline { name = …, steps = { … } }`, or just the list of steps.
---@param spec table
---@return table
function M.make(spec)
  if type(spec) ~= "table" then error("pipeline takes a table", 2) end
  check_keys(spec)
  count_made = count_made + 1
  local list = spec.steps or spec
  local self = setmetatable({ name = spec.name or "pipeline", deadline = spec.deadline, steps = {} }, Pipeline)
  for position, value in ipairs(list) do self.steps[position] = to_step(value, position) end
  if #self.steps == 0 then errors.raise("script", { message = "the pipeline has no steps" }) end
  return self
end

function M.is(value) return getmetatable(value) == Pipeline end

---Every need must be given by a step before it.
---@param initial table<string, any>
local function check_chain(self, initial)
  local given, everything = {}, {}
  for name in pairs(initial) do given[name] = true end
  for _, step in ipairs(self.steps) do
    for _, name in ipairs(step.gives or {}) do everything[name] = step.name end
  end
  for _, step in ipairs(self.steps) do
    for _, name in ipairs(step.needs or {}) do
      if not given[name] then
        errors.raise("config", { message = ("step %q needs %q, which no step before it gives"):format(step.name, name),
          step = step.name, hint = everything[name] and ("move step %q before it"):format(everything[name])
            or (name == "dsn" and "set DATABASE_URL, or add steps.secret" or nil) })
      end
    end
    for _, name in ipairs(step.gives or {}) do given[name] = true end
  end
end

local Context = {}
Context.__index = Context

---What was proven of a database says nothing of another one, nor of one that was emptied: a gate is not open any more.
local function doubt(ctx)
  if ctx.results.gate or ctx.results.migrate then ctx.results.gate = { ok = false, lacking = {} } end
end

function Context:give(name, value)
  if name == "dropped" or name == "dsn" and value ~= self.values.dsn then doubt(self) end
  self.values[name] = value
end

function Context:find(name) return self.values[name] end

function Context:need(name)
  local value = self.values[name]
  if value == nil then error(("step %q did not get %q"):format(self.step, name), 2) end
  return value
end

---The configuration as a step sees it: its own options over `base`, and the database as of now.
---@param overrides? table<string, any>
---@param base? migrator.Config
function Context:config_for(overrides, base)
  local all = { url = self.values.dsn }
  for key, value in pairs(overrides or {}) do all[key] = value end
  return config_module.with(base or self.config, all, "step " .. tostring(self.step))
end

---Ends the pipeline here, green: the steps after this one are skipped, and the reason is said.
function Context:stop(reason) self.stopped = reason end

-- What a step leaves open would fail the next one, for a reason that nobody finds there.
local function check_left_open(ctx)
  local status = ctx.conn and ctx.conn:status()
  if status ~= "transaction" and status ~= "failed" then return end
  ctx.conn:exec "rollback"
  errors.raise("script", { message = "the step left a transaction open, which was rolled back",
    hint = "conn:transaction(function() … end) ends what it begins" })
end

local function run_step(ctx, step)
  ctx.step = step.name
  ctx.emit("step", { name = step.name })
  local started = clock.now()
  local ok, raised = xpcall(step.run, function(value)
    local made = errors.wrap(value, "script")
    if not made.traceback then rawset(made, "traceback", debug.traceback("", 2):gsub("^%s+", "")) end
    return made
  end, ctx)
  if ok then ok, raised = pcall(check_left_open, ctx) end
  local err = not ok and errors.wrap(raised, "script") or nil
  local record = { name = step.name, elapsed = clock.now() - started, status = ok and "ok" or "failed" }
  table.insert(ctx.record, record)
  ctx.emit("step_done", record)
  if ok then return nil end
  return errors.add(err, { step = step.name })
end

local function undo_all(ctx, begun, err)
  for i = #begun, 1, -1 do
    if begun[i].undo then
      ctx.step = begun[i].name
      local ok, second = pcall(begun[i].undo, ctx, err)
      if not ok then
        ctx.emit("warning", { message = ("undoing %s also failed: %s"):format(begun[i].name, tostring(second)) })
      end
    end
  end
end

local function has_needs(ctx, step)
  for _, name in ipairs(step.needs or {}) do
    if ctx.values[name] == nil then return false end
  end
  return true
end

local function begin_early(ctx, step)
  if not step or not step.early or step.always or not has_needs(ctx, step) then return end
  ctx.step = step.name
  local ok, err = pcall(step.early, ctx)
  return not ok and errors.is(err, "interrupted") and err or nil
end

local PROOFS = { dsn = true, migrated = true, gate = true }

---A step that was to prove something, or of another database, is not made up for by what was proven before it. When
---steps.migrate ends the run, it has proven all that a gate behind it would.
local function skip(ctx, step)
  table.insert(ctx.record, { name = step.name, status = "skipped", elapsed = 0 })
  for _, name in ipairs(step.gives or {}) do
    if PROOFS[name] and not (name == "gate" and ctx.results.migrate) then doubt(ctx) end
  end
end

local function run_main(self, ctx, begun)
  for position, step in ipairs(self.steps) do
    if not step.always then
      if ctx.stopped then
        skip(ctx, step)
      else
        begun[#begun + 1] = step
        local err = begin_early(ctx, self.steps[position + 1]) or run_step(ctx, step)
        if err then return err end
        if ctx.deadline and clock.now() > ctx.deadline then
          return errors.new("timeout", { message = "the pipeline's deadline passed", step = step.name })
        end
      end
    end
  end
end

---Steps never begun because an earlier one failed are named in the record too: a report says what did not happen.
local function mark_rest(self, ctx)
  local seen = {}
  for _, record in ipairs(ctx.record) do seen[record.name] = true end
  for _, step in ipairs(self.steps) do
    if not step.always and not seen[step.name] then
      table.insert(ctx.record, { name = step.name, status = "not reached", elapsed = 0 })
    end
  end
end

---A failed verification whose error was swallowed fails the run all the same, and before a report says otherwise.
local function find_swallowed()
  local verify = package.loaded["migrator.verify"]
  local verdict = verify and verify.pending_failures()[1]
  if not verdict then return nil end
  local ok, err = pcall(verify.insist, verdict)
  return not ok and errors.wrap(err, "verify") or nil
end

---The report comes last: it tells what became of the other steps that always run, too.
local function run_always(self, ctx)
  for _, is_report in ipairs { false, true } do
    for _, step in ipairs(self.steps) do
      if step.always and (step.name == "report") == is_report then
        local late = run_step(ctx, step)
        if late and not ctx.error then ctx.error = late end
        ctx.error = ctx.error or find_swallowed()
      end
    end
  end
end

---@param ctx table config, sink, emit; `values` given from the start
---@return migrator.Error|nil
function M.run(self, ctx)
  setmetatable(ctx, Context)
  ctx.values, ctx.record, ctx.results, ctx.started = ctx.values or {}, {}, {}, clock.now()
  check_chain(self, ctx.values)
  for _, step in ipairs(self.steps) do
    if step.check then
      ctx.step = step.name
      local ok, err = pcall(step.check, ctx)
      if not ok then error(errors.add(errors.wrap(err, "script"), { step = step.name }), 0) end
    end
  end
  local begun = {}
  local err = run_main(self, ctx, begun)
  if ctx.deadline then host.limit(clock.deadline(FINAL_SECONDS)) end
  if err then mark_rest(self, ctx) end
  undo_all(ctx, begun, err)
  ctx.error, ctx.elapsed = err or find_swallowed(), clock.now() - ctx.started
  run_always(self, ctx)
  return ctx.error
end

return M
