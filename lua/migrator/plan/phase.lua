---Expand and contract: what takes something away runs only when the code that still needed it is gone. Journal and
---deployed versions in, a refusal out.
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

local M = {}

local function refuse_file(entry, message, hint)
  errors.raise("parse", { message = message, hint = hint, file = entry.path, migration = entry.tag,
    state = "nothing was changed" })
end

local function positions(journal)
  local at, tags = {}, {}
  for i, entry in ipairs(journal.entries) do at[entry.tag], tags[i] = i, entry.tag end
  return at, tags
end

---The pending migrations that ask for a deployed version, each with its tag.
---@param plan migrator.Plan
---@return { entry: migrator.Entry, needs: string }[]
local function contracts(plan, at, tags)
  local out = {}
  for _, segment in ipairs(plan.segments) do
    for _, item in ipairs(segment.items) do
      local entry, needs = item.entry, item.headers and item.headers.needs
      if needs and not at[needs] then
        refuse_file(entry, ("needs=%s: the journal has no such migration"):format(needs), suggest.hint(needs, tags)
          or "name the migration that expanded the schema")
      elseif needs and at[needs] >= at[entry.tag] then
        refuse_file(entry, ("needs=%s does not stand before %s"):format(needs, entry.tag),
          "a contract needs a version that was deployed before it")
      elseif needs then
        out[#out + 1] = { entry = entry, needs = needs }
      end
    end
  end
  return out
end

local HINT = "deploy the code that has %s first, then run again; the run is refused as a whole, because nothing is "
  .. "ever skipped"

local function refuse(contract, message, hint)
  errors.raise("verify", { message = ("%s is a contract migration and needs %s deployed: %s"):format(contract.entry.tag,
    contract.needs, message), file = contract.entry.path, migration = contract.entry.tag, hint = hint
      or HINT:format(contract.needs), state = "nothing was changed" })
end

local function check_version(contract, version, at, tags, origin)
  if not at[version] then
    refuse(contract, ("%s says %q, which the journal does not have"):format(origin, version),
      suggest.hint(version, tags) or "the deployed version must be the tag of a migration of this journal")
  elseif at[version] < at[contract.needs] then
    refuse(contract, ("%s says %s"):format(origin, version))
  end
end

---Refuses contract migrations before their time. A database in which nothing was ever applied has no deployed code.
---@param plan migrator.Plan
---@param ask fun(): string[]|nil, string the tags of the running versions (nil: not to be asked here), and who says so
function M.check(plan, ask)
  local at, tags = positions(plan.journal)
  local found = contracts(plan, at, tags)
  if #found == 0 or #plan.rows == 0 then return end
  local versions, origin = ask()
  if not versions then return end
  for _, contract in ipairs(found) do
    if #versions == 0 then
      refuse(contract, ("%s names no version"):format(origin), "no answer is not a yes: say what is deployed, "
        .. "with --deployed TAG, or steps.migrate { deployed = … }")
    end
    for _, version in ipairs(versions) do check_version(contract, version, at, tags, origin) end
  end
end

return M
