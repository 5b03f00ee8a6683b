---migrator doctor: one line for each thing that a run needs, with the mend.
local array = require("migrator.sink").array
local doctor = require "migrator.doctor"
local errors = require "migrator.error"

local M = {}

local COLOR = { ok = "green", warn = "yellow", fail = "red" }

local function print_check(sink, check)
  local status = sink:paint("stdout", COLOR[check.status], ("%-4s"):format(check.status))
  sink:line(("%s  %-11s  %s"):format(status, check.name, check.message))
  if check.mend then sink:line("                  -> " .. check.mend) end
end

---@param config migrator.Config
---@param sink migrator.Sink
function M.run(config, sink)
  local checks, list = doctor.run(config), array {}
  local code, counts = 0, { ok = 0, warn = 0, fail = 0 }
  for i, check in ipairs(checks) do
    print_check(sink, check)
    counts[check.status] = counts[check.status] + 1
    if check.status == "fail" and code == 0 then code = errors.EXIT[check.code] end
    list[i] = { name = check.name, status = check.status, message = check.message, mend = check.mend,
      code = check.code }
  end
  sink:document { ok = counts.fail == 0, checks = list, failed = counts.fail, warnings = counts.warn }
  return code
end

return M
