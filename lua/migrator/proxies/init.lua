---Proxies that are known by name: how the command line is made of options, when they are ready, what their logs mean,
---and what is wrong with a command line before it runs. Each is a table of this folder.
local errors = require "migrator.error"
local http = require "migrator.core.http"
local suggest = require "migrator.lib.suggest"

local M = {}

---@class migrator.ProxyPreset
---@field name string
---@field programs string[] the first one is started; by any of them a command line is known
---@field options table<string, string> as of steps.options
---@field pipe? boolean carries bytes to another network: TLS goes on through it
---@field port_needed? boolean its port is said elsewhere too
---@field causes migrator.ProxyCause[]
---@field check? fun(o: table) raises for wrong options
---@field examine? fun(o: table) asks the installed program
---@field command fun(o: table): string[], table
---@field ready fun(o: table): migrator.ProxyReady?
---@field more_ports? fun(o: table): table<string, boolean>
---@field lint fun(cmd: string[], o: table, add: function)

M.NAMES = { "aws_ssm", "cloud_sql", "kubectl", "pgbouncer", "socat", "ssh" }

---@param name string
---@return migrator.ProxyPreset
function M.get(name)
  for _, known in ipairs(M.NAMES) do
    if known == name then return require("migrator.proxies." .. name) end
  end
  errors.raise("script", { message = ("there is no proxy preset %q"):format(tostring(name)),
    hint = suggest.hint(tostring(name), M.NAMES) or "there is: " .. table.concat(M.NAMES, ", ") })
end

-- Programs by name, so that a command line of another program loads none of the presets.
local PROGRAMS = { ["cloud-sql-proxy"] = "cloud_sql", cloud_sql_proxy = "cloud_sql", ssh = "ssh", kubectl = "kubectl",
  aws = "aws_ssm", pgbouncer = "pgbouncer", socat = "socat" }

---The preset whose program a command line starts.
---@param cmd string[]?
---@return migrator.ProxyPreset?
function M.of_command(cmd)
  local name = cmd and PROGRAMS[tostring(cmd[1]):match("[^/]*$")]
  return name and M.get(name) or nil
end

local POSITIONAL = { "instance", "to", "resource", "target", "config", "program" }

---The options of a preset, checked; what is not said is left open.
---@param preset migrator.ProxyPreset
---@param o table
function M.check(preset, o)
  for _, name in ipairs(POSITIONAL) do
    if type(o[name]) == "string" and (o[name] == "" or o[name]:find("^%-") or o[name]:find("%c")) then
      errors.raise("config", { message = ("steps.proxy: %s = %q would be taken for an option"):format(name, o[name]) })
    end
  end
  if o.target and not o.target:find("^/") and not o.target:find("^.+:%d+$") then
    errors.raise("config", { message = ("steps.proxy: target = %q is not HOST:PORT"):format(o.target) })
  end
  if preset.port_needed and not o.port then
    errors.raise("config", {
      message = ("steps.proxy: preset %s needs `port`, the one it is configured for"):format(preset.name) })
  end
  if preset.check then preset.check(o) end
end

---Ports that nobody named are chosen among the free ones.
---@param preset migrator.ProxyPreset
---@param o table gets `port` and the others
function M.choose_ports(preset, o)
  o.host = o.host or "127.0.0.1"
  o.program = o.program or preset.programs[1]
  o.port = o.port or http.find_port()
  for name, wanted in pairs(preset.more_ports and preset.more_ports(o) or {}) do
    o[name] = wanted and (o[name] or http.find_port()) or nil
  end
end

---@class migrator.ProxyFinding
---@field rule string
---@field severity "error"|"warning"
---@field message string
---@field hint? string

---What is wrong with a command line, before it runs. `allow` names rules that are accepted as they are.
---@param preset migrator.ProxyPreset
---@param cmd string[]
---@param o table options of the step
---@return migrator.ProxyFinding[]
function M.lint(preset, cmd, o)
  local out, accepted, seen = {}, {}, {}
  for _, rule in ipairs(o.allow or {}) do accepted[rule] = true end
  preset.lint(cmd, o, function(rule, severity, message, hint)
    if accepted[rule] or seen[rule] then return end
    seen[rule] = true
    out[#out + 1] = { rule = rule, severity = severity, message = message, hint = hint }
  end)
  return out
end

---Warnings are said, errors refuse to start.
---@param findings migrator.ProxyFinding[]
---@param warn fun(text: string)
function M.insist(findings, warn)
  local worst
  for _, finding in ipairs(findings) do
    if finding.severity == "error" and not worst then
      worst = finding
    else
      warn(("%s [%s]%s"):format(finding.message, finding.rule, finding.hint and "; " .. finding.hint or ""))
    end
  end
  if not worst then return end
  errors.raise("config", { message = ("the proxy is not started: %s"):format(worst.message), rule = worst.rule,
    hint = ("%s; or allow = { %q }"):format(worst.hint or "change it", worst.rule) })
end

return M
