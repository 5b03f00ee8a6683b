---What can be mended in tracking table or journal, and what must not be: classification in, a change or a refusal
---out. Pure.
local baseline = require "migrator.baseline"
local edit = require "migrator.journal.edit"
local errors = require "migrator.error"

local M = {}

local IDS = "`migrator status` shows the missing rows and their ids"

local function refuse(message, hint)
  errors.raise("usage", { message = message, hint = hint, state = "nothing was changed" })
end

---The row that is to take over an entry's hash and `when`; nil when it has them already.
---@param found table of plan.classify
---@return { entry: migrator.Entry, row: migrator.Row, changes: string[] }|nil
function M.accept(found, tag)
  local _, item = baseline.find(found.items, tag)
  if item.state == "pending" or item.state == "stranded" then
    refuse(("%s has no tracking row: it was never applied"):format(tag),
      ("`migrator baseline %s` records it without running it"):format(tag))
  end
  local entry, row, changes = item.entry, item.row, {}
  if row.hash ~= entry.hash then changes[#changes + 1] = ("hash %s -> %s"):format(row.hash, entry.hash) end
  if row.created_at ~= entry.when then
    changes[#changes + 1] = ("created_at %s -> %d"):format(row.created_at and tostring(row.created_at) or "NULL",
      entry.when)
  end
  if #changes == 0 then return nil end
  return { entry = entry, row = row, changes = changes }
end

---The journal's text with an entry that was never applied moved to its end, under a `when` above all others.
---@param found table of plan.classify
---@param journal migrator.Journal
---@param text string the journal file's
---@param now integer milliseconds
---@return { text: string, entry: migrator.Entry, when: integer, changes: string[] }
function M.restamp(found, journal, text, tag, now)
  local position, item = baseline.find(found.items, tag)
  local entry = item.entry
  if item.row then
    refuse(("%s is recorded already (%s): a new `when` would make it differ from its row"):format(tag, item.state))
  end
  local when = math.max(now, (found.newest or 0) + 1)
  for _, other in ipairs(journal.entries) do
    if other ~= entry then when = math.max(when, other.when + 1) end
  end
  local doc = edit.parse(text, journal.path)
  if #doc.spans ~= #journal.entries then errors.raise("internal", "the journal's text was not understood") end
  local changes = { ("%s: when %d -> %d"):format(tag, entry.when, when) }
  doc = edit.set(doc, position, "when", when)
  local last = #journal.entries
  if position < last then
    local moved = edit.entry(doc, position)
    doc = edit.append(edit.remove(doc, position), moved)
    changes[#changes + 1] = ("%s: moved from place %d to place %d of the entries"):format(tag, position, last)
    for i = position, last do
      local other = journal.entries[i < last and i + 1 or position]
      local idx = journal.entries[i].idx
      doc = edit.set(doc, i, "idx", idx)
      changes[#changes + 1] = ("%s: idx %d -> %d"):format(other.tag, other.idx, idx)
    end
  end
  return { text = doc.text, entry = entry, when = when, changes = changes }
end

---The row to remove: one that no entry explains, or the second of two.
---@param found table of plan.classify
---@param id string
---@return migrator.Row
function M.forget(found, id)
  local wanted = math.tointeger(tonumber(id))
  if not wanted then refuse(("%q is not the id of a tracking row"):format(id), IDS) end
  for _, row in ipairs(found.missing) do
    if row.id == wanted then return row end
  end
  for _, double in ipairs(found.duplicates) do
    if double.row.id == wanted then return double.row end
  end
  for _, item in ipairs(found.items) do
    if item.row and item.row.id == wanted then
      refuse(("row %d records %s, which the journal has: without it the migration would run again"):format(wanted,
        item.entry.tag))
    end
  end
  refuse(("there is no tracking row %d"):format(wanted), IDS)
end

return M
