---steps.report { "text", "github", "json:FILE" }: says what became of the run. Always runs.
local errors = require "migrator.error"
local sinks = { text = require "migrator.sink.summary", github = require "migrator.sink.github",
  json = require "migrator.sink.file" }

return function(given)
  local wanted = {}
  for i, name in ipairs(given or { "text" }) do
    local kind, rest = tostring(name):match("^(%a+):?(.*)$")
    if kind == "terminal" then kind = "text" end
    if not sinks[kind or ""] then
      errors.raise("script", { message = ("steps.report: no report called %q"):format(tostring(name)), step = "report",
        hint = "text, github, json:FILE" })
    end
    wanted[i] = { print = sinks[kind], argument = rest }
  end
  return {
    name = "report", always = true,
    run = function(ctx)
      for _, report in ipairs(wanted) do report.print(ctx, report.argument) end
    end,
  }
end
