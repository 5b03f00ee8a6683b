---The step outputs that a deploy job decides by: `changed`, `applied`, `pending`, `gate`. A run that did not come to
---its end says gate=fail; one that never spoke leaves it empty, which is not `pass` either.
local ci = require "migrator.ci"

local M = {}

local NAMES = { "changed", "applied", "pending", "gate" }

---@param found table<string, any>
function M.write(found)
  for _, name in ipairs(NAMES) do
    if found[name] ~= nil then ci.output(name, tostring(found[name])) end
  end
end

---Did the run leave the database with all that this checkout has? Known from steps.gate, or else from steps.migrate,
---which refuses whatever it cannot explain.
local function judge(ctx, outcome)
  if ctx.error then return "fail" end
  if ctx.results.gate then return ctx.results.gate.ok and "pass" or "fail" end
  if outcome then return #outcome.pending == 0 and "pass" or "fail" end
  return nil
end

---@param ctx migrator.Context of a pipeline that is over
---@return table<string, any>
function M.of(ctx)
  local migrated = ctx.results.migrate
  local outcome = migrated and migrated.outcome
  local gate = ctx.results.gate
  local out = { changed = ctx.results.changed, gate = judge(ctx, outcome) }
  if outcome then
    out.applied, out.pending = #outcome.applied, #outcome.pending
  elseif migrated then
    out.applied, out.pending = 0, migrated.plan and #migrated.plan.pending or nil
  elseif gate then
    out.applied, out.pending = 0, #gate.lacking
  end
  if out.pending and (out.changed == nil or out.applied > 0) then out.changed = out.applied + out.pending > 0 end
  return out
end

return M
