---migrator verify: the independent check, layer 2.
local clock = require "migrator.core.clock"
local config_module = require "migrator.config"
local failure = require "migrator.sink.failure"
local sink_module = require "migrator.sink"
local verify = require "migrator.verify"

local M = {}

---@param verdict migrator.Verdict
function M.document(verdict)
  local findings = sink_module.array {}
  for i, finding in ipairs(verdict.findings) do
    findings[i] = { rule = finding.rule or "custom", severity = finding.severity, object = finding.object,
      expected = finding.expected, actual = finding.actual, message = finding.message }
  end
  return { ok = verdict.ok, policy = verdict.policy, database = verdict.database, expected = verdict.expected,
    findings = findings, server = verdict.server }
end

---What verify.run needs, from the settings.
---@param config migrator.Config
---@return migrator.VerifyOptions
function M.options(config)
  local deadline = config.deadline > 0 and clock.deadline(config.deadline) or nil
  return { url = config_module.need_url(config), dir = config.dir, schema = config.schema, table = config.table,
    policy = config.policy, allow = { edited = config.edited == "allow" },
    connect = { connect_timeout = config.connect_timeout, deadline = deadline, application_name = "migrator verify",
      lock_timeout = config.lock_timeout,
      statement_timeout = config.statement_timeout > 0 and config.statement_timeout or nil } }
end

---@param config migrator.Config
---@param sink migrator.Sink
function M.run(config, sink)
  local verdict = verify.run(M.options(config))
  local ok, err = pcall(verify.insist, verdict)
  local document = M.document(verdict)
  if not ok then document.failed = failure.document(err) end
  sink:document(document)
  for _, finding in ipairs(verdict.findings) do
    if finding.severity ~= "error" then sink:diagnostic(finding.severity, finding.message) end
  end
  if not ok then error(err, 0) end
  sink:line(verdict:summary())
  return 0
end

return M
