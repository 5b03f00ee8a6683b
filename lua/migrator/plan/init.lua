---The Plan: what is to be done and what stands against it. Journal, rows and policies in; no connection, no I/O but the
---reading of the pending files.
local classify = require "migrator.plan.classify"
local problems = require "migrator.plan.problems"
local segments = require "migrator.plan.segments"

local M = {}

---@class migrator.Plan
---@field items migrator.Classified[] every entry, in order
---@field pending migrator.Entry[] what is going to be applied, in order
---@field segments migrator.Segment[]
---@field problems migrator.Problem[] what policy refuses; nothing runs while there is one
---@field findings migrator.Finding[] what is worth a word
---@field applied integer @field expected integer

---@param journal migrator.Journal
---@param rows migrator.Row[]
---@param policy { order: string, edited: string, missing: string, baseline: string, tx: string }
---@param gather? fun(found: table): table what only the outside knows: `cosmetic`, `baseline`, `existing` (plan/facts.lua)
---@param keep? boolean keep the statements of the segments
---@return migrator.Plan
function M.build(journal, rows, policy, gather, keep)
  local found = classify.run(journal.entries, rows)
  local pending = {}
  for _, item in ipairs(found.items) do
    if item.state == "pending" or (item.state == "stranded" and policy.order == "non-linear") then
      pending[#pending + 1] = item.entry
    end
  end
  local plan = { items = found.items, missing = found.missing, duplicates = found.duplicates, counts = found.counts,
    rows = rows, pending = pending, expected = #journal.entries, journal = journal }
  plan.applied = found.counts.applied + found.counts.moved + found.counts.edited + found.counts.baseline
  local facts = gather and gather(found) or {}
  plan.problems, plan.findings = problems.find(plan, policy, facts)
  plan.segments = #plan.problems == 0 and segments.build(pending, policy.tx,
    { keep = keep, committing = facts.committing,
    server_version = facts.server_version }) or {}
  for _, segment in ipairs(plan.segments) do
    for _, item in ipairs(segment.items) do
      if item.count == 0 then
        table.insert(plan.findings, { rule = "empty", severity = "warning", file = item.entry.path,
          message = item.entry.tag .. " holds no statement: it is only recorded as applied" })
      end
    end
  end
  for i = 2, #plan.segments do
    table.insert(plan.findings, { rule = "segment", severity = "info", message = "the run is committed in "
      .. #plan.segments .. " parts; part " .. i .. ": " .. (plan.segments[i].reason or "") })
  end
  return plan
end

return M
