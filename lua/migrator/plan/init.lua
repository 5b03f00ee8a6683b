---The Plan: what is to be done and what stands against it. Journal, rows and policies in; no connection, no I/O but the
---reading of the pending files.
local lazy = require "migrator.lib.lazy"
local capacity = lazy.require "migrator.plan.capacity"
local classify = require "migrator.plan.classify"
local problems = require "migrator.plan.problems"
local segments = lazy.require "migrator.plan.segments"

local M = {}

---@class migrator.Plan
---@field items migrator.Classified[] every entry, in order
---@field pending migrator.Entry[] what is going to be applied, in order
---@field segments migrator.Segment[]
---@field problems migrator.Problem[] what policy refuses; nothing runs while there is one
---@field findings migrator.Finding[] what is worth a word
---@field applied integer @field expected integer

local function add_item_findings(item, add)
  if item.count == 0 then
    add("empty", "warning", item.entry.tag .. " holds no statement: it is only recorded as applied", item.entry.path)
  end
  if item.late then
    add("header", "warning", ("%s:%d: a header is read above the first statement only"):format(item.entry.path,
      item.late),
      item.entry.path, item.late)
  end
end

local function add_segment_findings(plan, lock_table)
  local function add(rule, severity, message, file, line)
    table.insert(plan.findings, { rule = rule, severity = severity, message = message, file = file, line = line })
  end
  for number, segment in ipairs(plan.segments) do
    for _, item in ipairs(segment.items) do add_item_findings(item, add) end
    if lock_table and segment.locks and segment.locks > lock_table.budget then
      add("locks", "warning",
        ("%s takes about %d locks: with what other sessions hold, that may be more than the server's "
        .. "lock table has room for (max_locks_per_transaction = %d; %d would be enough)"):format(
        segment.items[1].entry.tag, segment.locks, lock_table.per_transaction,
        capacity.setting_for(lock_table, segment.locks)), segment.items[1].entry.path)
    end
    if number > 1 then
      add("segment", "info", ("the run is committed in %d parts; part %d: %s"):format(#plan.segments, number,
        segment.reason or ""))
    end
  end
end

local function add_part_way(plan, part_way)
  for _, entry in ipairs(plan.pending) do
    local done = part_way[entry.tag]
    if done and done > 0 then
      table.insert(plan.findings, { rule = "part-way", severity = "warning", file = entry.path,
        message = ("%s stopped part way: its first %d statement(s) are done, the next run goes on behind them"):format(
          entry.tag, done) })
    end
  end
end

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
  plan.segments = #pending > 0 and #plan.problems == 0 and segments.build(pending, policy.tx,
    { keep = keep, committing = facts.committing, partitioned = facts.partitioned, lock_table = facts.lock_table,
    part_way = facts.part_way, server_version = facts.server_version }) or {}
  add_part_way(plan, facts.part_way or {})
  add_segment_findings(plan, facts.lock_table)
  return plan
end

return M
