-- The ids are made from the plan's own, so that a second run meets the same rows.
local function id_of(plan, kind, number)
  return (plan.id:gsub("^%x+%-%x%x%x%x", ("%08x-%04x"):format(kind, number)))
end

local STEP, OUTPUT = 0x57e90000, 0x0a7b0000
local plans, steps, outputs = {}, {}, {}

for _, plan in ipairs(seed.json "plans.json") do
  plans[#plans + 1] = { id = plan.id, organization_id = plan.organization_id, created_by = plan.created_by,
    title = plan.title, question = plan.question, status = plan.status, settings = plan.settings }
  for position, step in ipairs(plan.steps) do
    steps[#steps + 1] = { id = id_of(plan, STEP, position), organization_id = plan.organization_id, plan_id = plan.id,
      position = position, title = step.title, instructions = step.instructions, status = step.status,
      summary = step.summary, attempt = step.attempt, token_budget = step.token_budget,
      depends_on = position > 1 and { id_of(plan, STEP, position - 1) } or seed.null }
  end
  if plan.output ~= seed.null then
    outputs[#outputs + 1] = { id = id_of(plan, OUTPUT, 1), organization_id = plan.organization_id, plan_id = plan.id,
      revision = 1, format = plan.output.format, body = plan.output.body, citations = plan.output.citations,
        is_final = true }
  end
end

seed.upsert("research_plan", { key = { "id" }, rows = plans, touch = "updated_at" })
seed.upsert("plan_step", { key = { "plan_id", "position" }, rows = steps })
seed.upsert("research_output", { key = { "plan_id", "revision" }, rows = outputs })
