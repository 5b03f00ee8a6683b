---AWS Systems Manager: a port of this machine carried through a managed instance to where that can reach. It listens on
---127.0.0.1 only; `aws` starts session-manager-plugin, which must be installed.
local errors = require "migrator.error"

local M = {
  name = "aws_ssm", programs = { "aws" }, pipe = true,
  options = { instance = "string!", target = "string", region = "string", profile = "string" },
}

local DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"

M.causes = {
  { name = "no_plugin", config = true, patterns = { "SessionManagerPlugin is not found" },
    why = "session-manager-plugin is not installed", hint = "install it beside the AWS CLI" },
  { name = "expired", patterns = { "ExpiredToken", "[Tt]oken.-has expired", "Error loading SSO Token" },
    why = "the AWS credentials have expired", hint = "log in again (aws sso login), or renew the role's session" },
  { name = "no_credentials", patterns = { "Unable to locate credentials",
    "config profile %(([^)]+)%) could not be found" },
    why = "it found no credentials ({1})", hint = "give profile, or set AWS_PROFILE or a role" },
  { name = "no_region", config = true, patterns = { "You must specify a region" }, why = "no region is named",
    hint = "give region" },
  { name = "denied", patterns = { "AccessDenied%w*[^\n]-(ssm:%w+)", "AccessDenied" },
    why = "AWS does not allow it ({1})", hint = "the identity needs ssm:StartSession on the instance and the document "
      .. DOCUMENT },
  { name = "not_connected", patterns = { "TargetNotConnected", "InvalidInstanceId" },
    why = "the instance is not connected to Systems Manager",
    hint = "does it run, with the SSM agent and the role AmazonSSMManagedInstanceCore?" },
  { name = "target_unreachable", passing = true, patterns = { "Connection to destination port failed" },
    why = "the instance cannot reach the database", hint = "check `target`, and its security group" },
}

local function json_text(text) return '"' .. text:gsub('[\\"]', "\\%0") .. '"' end

function M.command(o)
  local host, port = o.target:match("^([^/]+):(%d+)$")
  if not host then
    errors.raise("config", { message = ("steps.proxy: aws_ssm leads to HOST:PORT, not to %s"):format(o.target),
      hint = "give target = \"HOST:PORT\"" })
  end
  local cmd = { o.program, "ssm", "start-session", "--target", o.instance, "--document-name", DOCUMENT, "--parameters",
    ('{"host":[%s],"portNumber":["%s"],"localPortNumber":["%d"]}'):format(json_text(host), port, o.port) }
  local function add(flag, value) if value then cmd[#cmd + 1], cmd[#cmd + 2] = flag, value end end
  add("--region", o.region)
  add("--profile", o.profile)
  for _, word in ipairs(o.args or {}) do cmd[#cmd + 1] = word end
  return cmd, {}
end

function M.ready() return { log = "Waiting for connections" } end

function M.lint() end

return M
