---The report as JUnit's XML: one suite, a case for each step and each migration.
local failure = require "migrator.sink.failure"
local file = require "migrator.sink.file"
local mask = require "migrator.lib.mask"

local M = {}

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;",
  ["\n"] = "&#10;", ["\t"] = "&#9;" }

---XML knows no other control characters, not even escaped, and two code points that are no characters.
local function clean(text)
  text = mask.apply(tostring(text))
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  return (text:gsub("\r\n?", "\n"):gsub("[\1-\8\11-\31\127%z]", ""):gsub("\239\191[\190\191]", ""))
end

local function attribute(text) return (clean(text):gsub("[&<>\"'\n\t]", ENTITIES)) end

local function content(text) return (clean(text):gsub("[&<>]", ENTITIES)) end

local function seconds(ms) return ("%.3f"):format(ms / 1000) end

local function failure_of(err)
  return ('      <failure message="%s" type="%s">%s</failure>'):format(attribute(err.message), attribute(err.code),
    content(table.concat(failure.format(err, false), "\n")))
end

local function case(out, class, item, err)
  local head = ('    <testcase classname="%s" name="%s" time="%s"%s'):format(class, attribute(item.name or item.tag),
    seconds(item.duration_ms), item.file and (' file="%s"'):format(attribute(item.file)) or "")
  local inner = item.status == "failed" and err and failure_of(err)
    or item.status ~= "ok" and item.status ~= "applied" and ('      <skipped message="%s"/>'):format(item.status)
  out[#out + 1] = inner and head .. ">\n" .. inner .. "\n    </testcase>" or head .. "/>"
end

local function count(run)
  local failed, skipped = 0, 0
  for _, list in ipairs { run.steps, run.migrations } do
    for _, item in ipairs(list) do
      if item.status == "failed" then
        failed = failed + 1
      elseif item.status ~= "ok" and item.status ~= "applied" then
        skipped = skipped + 1
      end
    end
  end
  return failed, skipped
end

---@param run migrator.RunReport
---@return string
function M.text(run)
  local failed, skipped = count(run)
  local totals = ('name="%s" tests="%d" failures="%d" errors="0" skipped="%d" time="%s"'):format(
    attribute(run.name or "migrator"), #run.steps + #run.migrations, failed, skipped, seconds(run.duration_ms))
  local out = { '<?xml version="1.0" encoding="UTF-8"?>', "<testsuites " .. totals .. ">",
    ('  <testsuite %s timestamp="%s">'):format(totals, attribute((run.at:gsub("Z$", "")))) }
  for _, step in ipairs(run.steps) do case(out, "migrator.steps", step, run.error) end
  for _, item in ipairs(run.migrations) do case(out, "migrator.migrations", item, run.error) end
  out[#out + 1] = "  </testsuite>\n</testsuites>\n"
  return table.concat(out, "\n")
end

function M.write(_, path, run) file.write(path, M.text(run)) end

return M
