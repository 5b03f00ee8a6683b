-- Writes the table of docs/drizzle.md: the shared adversarial cases, what drizzle-orm did (recorded), what we do (run
-- now).
-- `make drizzle-table` runs it; MIGRATOR_SHARED names the folder of the corpora.
local adversarial = require "spec.support.adversarial"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"

local PAGE = "docs/drizzle.md"
local FIRST, LAST = "<!-- the table: made by `make drizzle-table`; edits here are lost -->\n",
  "<!-- end of the table -->"

-- In a table's cell a bar would end it, and an angle bracket begin a tag.
local function cell(text)
  return (text:gsub("\n.*", ""):gsub("[|<>]", { ["|"] = "\\|", ["<"] = "&lt;", [">"] = "&gt;" }))
end

local function numbered(list)
  if #list == 1 then return list[1] end
  local out = {}
  for i, text in ipairs(list) do out[i] = ("**%d** %s"):format(i, text) end
  return table.concat(out, "<br>")
end

local function what_drizzle_did(step)
  if step.ok then
    local n = type(step.tracking) == "table" and #step.tracking or 0
    return ("exit 0; %d row%s"):format(n, n == 1 and "" or "s")
  end
  local err = step.error
  local state = type(err.sqlstate) == "string" and err.sqlstate .. " " or ""
  return "fails: " .. state .. cell(err.message)
end

local function what_we_do(found)
  if found.code == 0 then
    if found.same then return "same end state" end
    if not found.drizzle.ok then return "exit 0: does what was meant" end
    return found.same_schema and "same schema; other ids in the tracking table" or "exit 0: another end state"
  end
  local verb = (found.code == 2 or found.stderr:find("nothing was changed", 1, true)) and "refused" or "fails"
  return ("%s, exit %d: %s"):format(verb, found.code, cell(found.error))
end

local function rows(shared)
  local out, agree, total = {}, 0, 0
  for _, name in ipairs(fs.list(shared .. "/corpus/adversarial")) do
    local path = shared .. "/corpus/adversarial/" .. name
    if fs.find(path .. "/expected/expected.json") then
      local theirs, ours, same = {}, {}, true
      for n, found in ipairs(adversarial.run(path)) do
        theirs[n], ours[n] = what_drizzle_did(found.drizzle), what_we_do(found)
        same = same and ours[n] == "same end state"
      end
      total, agree = total + 1, agree + (same and 1 or 0)
      out[#out + 1] = ("| %s | %s | %s |"):format(name, numbered(theirs), numbered(ours))
    end
  end
  return out, agree, total
end

local shared = project.shared()
if not shared then
  errors.raise("config", { message = "the shared corpora are not here", hint = "MIGRATOR_SHARED names their folder" })
end
local page = fs.read(PAGE)
local _, from = page:find(FIRST, 1, true)
local to = page:find(LAST, 1, true)
if not (from and to) then errors.raise("config", { message = "the marks of the table are missing", file = PAGE }) end
local list, agree, total = rows(shared)
pg.stop()
fs.write(PAGE, page:sub(1, from) .. ("\n%d cases; in %d of them every step ends as with Drizzle.\n\n"):format(total,
  agree)
  .. "| case | drizzle-orm 0.45.4 | migrator |\n|---|---|---|\n" .. table.concat(list, "\n") .. "\n\n" .. page:sub(to))
print(("%s: %d cases, %d the same"):format(PAGE, total, agree))
return 0
