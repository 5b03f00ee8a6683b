---The run for GitHub: an annotation at the failing line, step outputs, and a summary in Markdown. Elsewhere it says
---nothing.
local advice = require "migrator.lib.advice"
local ci = require "migrator.ci"
local duration = require "migrator.lib.duration"
local failure = require "migrator.sink.failure"
local outputs = require "migrator.sink.outputs"

local function escape(text) return (text:gsub("[|<>`*_\\]", "\\%0"):gsub("\n", " ")) end

local function markdown(ctx)
  local out = { ("### migrator: %s"):format(ctx.error and "failed" or "done"), "", "| step | result | time |",
    "|---|---|---|" }
  for _, record in ipairs(ctx.record) do
    out[#out + 1] = ("| %s | %s | %s |"):format(escape(record.name), record.status,
      record.elapsed > 0 and duration.format(record.elapsed) or "–")
  end
  for _, secret in ipairs(ctx.results.secrets or {}) do
    if secret.version then
      out[#out + 1] = ""
      out[#out + 1] = ("%s: version %s of %s"):format(escape(secret.name), escape(secret.version), escape(secret.from))
    end
  end
  local result = ctx.results.migrate
  if result and result.outcome and #result.outcome.applied > 0 then
    out[#out + 1] = ""
    out[#out + 1] = "| migration | time |"
    out[#out + 1] = "|---|---|"
    for _, item in ipairs(result.outcome.applied) do
      out[#out + 1] = ("| %s | %s |"):format(escape(item.entry.tag), duration.format(item.elapsed))
    end
  end
  if ctx.error then
    out[#out + 1] = ""
    out[#out + 1] = "> " .. escape(tostring(ctx.error))
    local hint = advice.find(ctx.error)
    if hint then out[#out + 1] = ">\n> " .. escape(hint) end
  end
  return table.concat(out, "\n") .. "\n"
end

return function(ctx)
  if ctx.config.environment.GITHUB_ACTIONS ~= "true" then return end
  local err = ctx.error
  if err then
    ci.error(failure.note(err))
    rawset(err, "annotated", true)
  end
  outputs.write(outputs.of(ctx))
  ci.summary(markdown(ctx))
end
