---What in a classification policy refuses, and what is only worth a word.
local M = {}

---@class migrator.Problem
---@field code string error code
---@field message string
---@field hint string every way out
---@field file? string
---@field line? integer

---@class migrator.Finding
---@field rule string
---@field severity "info"|"warning"|"error"
---@field message string
---@field file? string
---@field line? integer

local function date(ms) return ms and os.date("!%Y-%m-%d %H:%M:%S", ms // 1000) or "no date" end

local function names(list, get, most)
  local out = {}
  for i = 1, math.min(#list, most or 5) do out[i] = get(list[i]) end
  if #list > #out then out[#out + 1] = ("and %d more"):format(#list - #out) end
  return table.concat(out, ", ")
end

local function of_state(plan, state)
  local out = {}
  for _, item in ipairs(plan.items) do
    if item.state == state then out[#out + 1] = item end
  end
  return out
end

local function row_name(row) return ("row %d (hash %s…, created_at %s)"):format(row.id, row.hash:sub(1, 12),
  row.created_at and tostring(row.created_at) or "NULL") end

local function check_missing(plan, policy, add, note)
  if #plan.missing == 0 then return end
  local list = names(plan.missing, row_name)
  if policy.missing == "allow" then
    note("missing", "warning", "no journal entry explains " .. list)
    return
  end
  local ahead = #plan.rows > plan.expected
  add("checksum", ahead and ("Database has %d migrations but local journal only has %d"):format(#plan.rows,
    plan.expected)
    or "the database has migrations that the journal does not know",
    ("no journal entry explains %s. Pull the newest main (another branch may have been applied), restore the entries, "
      .. "`migrator repair --forget ID` to remove a row on purpose, or missing = \"allow\""):format(list))
end

local function check_edited(plan, policy, facts, add, note)
  for _, item in ipairs(of_state(plan, "edited")) do
    local entry = item.entry
    if facts.cosmetic and facts.cosmetic[entry] then
      note("edited", "info", ("%s differs from what was applied only in %s"):format(entry.path, facts.cosmetic[entry]),
        entry.path)
    elseif policy.edited == "allow" then
      note("edited", "warning", entry.path .. " was edited after it was applied", entry.path)
    else
      add("checksum", ("%s was edited after it was applied (hash %s…, the database has %s…)"):format(entry.tag,
        entry.hash:sub(1, 12), item.row.hash:sub(1, 12)),
        ("the edit will never run: restore the file and put the change into a new migration; "
          .. "`migrator repair --accept %s` records the new hash when the schema is known to match; "
          .. "or edited = \"allow\""):format(entry.tag), entry.path)
    end
  end
end

local function check_stranded(plan, policy, add, note)
  local stranded = of_state(plan, "stranded")
  if #stranded == 0 then return end
  local newest
  for _, item in ipairs(plan.items) do
    if item.row and item.row.created_at and (not newest or item.row.created_at > newest.row.created_at) then
      newest = item
    end
  end
  local ahead = newest and newest.entry.tag or "the newest row"
  for _, item in ipairs(stranded) do
    local entry = item.entry
    if policy.order == "non-linear" then
      note("stranded", "warning", ("%s is older than %s and is applied out of order"):format(entry.tag, ahead),
        entry.path)
    else
      add("checksum",
        ("%s was never applied, and its `when` (%s) is not newer than %s's: Drizzle would skip it for ever")
        :format(entry.tag, date(entry.when), ahead),
        ("order = \"non-linear\" (--order non-linear) applies it now; `migrator repair --restamp %s` gives it a "
          .. "`when` of its own at the end of the journal; `migrator baseline %s` records it as applied"):format(
          entry.tag, entry.tag), plan.journal.path, entry.line)
    end
  end
end

---A squash or a pulled schema: nothing tracked, and the first file makes what is there already.
local function check_baseline(policy, facts, add, note)
  local entry = facts.baseline
  if not entry then return end
  local message = ("%s looks like a baseline: what it would create (%s) is in the database already"):format(entry.tag,
    names(facts.existing, function(name) return name end, 3))
  if policy.baseline == "run" then
    note("baseline", "warning", message, entry.path)
  else
    add("checksum", message,
      ("`migrator baseline %s` records it as applied without running it; baseline = \"run\" runs it "
      .. "all the same; or is this the wrong database?"):format(entry.tag), entry.path)
  end
end

local function notes(plan, note)
  for _, item in ipairs(of_state(plan, "moved")) do
    note("moved", item.row.created_at and "info" or "warning",
      ("%s was applied as created_at %s; the journal now says %d"):format(item.entry.tag,
      item.row.created_at and tostring(item.row.created_at) or "NULL", item.entry.when), item.entry.path)
  end
  for _, item in ipairs(of_state(plan, "baseline")) do
    note("baseline-row", "info", ("%s was recorded by hand (hash %q) and counts as applied"):format(item.entry.tag,
      item.row.hash))
  end
  for _, double in ipairs(plan.duplicates) do
    note("duplicate-row", "warning", ("%s is recorded twice: %s"):format(double.entry.tag, row_name(double.row)))
  end
end

---What the journal's reader noticed. What concerns an entry that was applied long ago is not said at every run.
local function add_journal_findings(plan, findings)
  if not (plan.journal.findings or {})[1] then return end
  local applied = {}
  for _, item in ipairs(plan.items) do applied[item.entry.tag] = item.row ~= nil end
  for _, finding in ipairs(plan.journal.findings or {}) do
    if finding.tag and applied[finding.tag] then
      finding = { rule = finding.rule, severity = "info", file = finding.file, line = finding.line,
        message = finding.message }
    end
    findings[#findings + 1] = finding
  end
end

---@param plan migrator.Plan
---@param policy table
---@param facts table
---@return migrator.Problem[] problems, migrator.Finding[] findings
function M.find(plan, policy, facts)
  local problems, findings = {}, {}
  local function add(code, message, hint, file, line)
    problems[#problems + 1] = { code = code, message = message, hint = hint, file = file, line = line }
  end
  local function note(rule, severity, message, file)
    findings[#findings + 1] = { rule = rule, severity = severity, message = message, file = file }
  end
  add_journal_findings(plan, findings)
  check_missing(plan, policy, add, note)
  check_edited(plan, policy, facts, add, note)
  check_stranded(plan, policy, add, note)
  check_baseline(policy, facts, add, note)
  notes(plan, note)
  return problems, findings
end

return M
