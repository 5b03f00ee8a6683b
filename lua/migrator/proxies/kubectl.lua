---`kubectl port-forward`: a port of this machine carried to a pod or a service of a cluster.
local flags = require "migrator.proxies.flags"

local M = {
  name = "kubectl", programs = { "kubectl" }, pipe = true,
  options = { resource = "string!", remote_port = "port", namespace = "string", context = "string",
    kubeconfig = "string" },
}

M.causes = {
  { name = "forbidden", patterns = { "is forbidden: User \"([^\"]+)\"", "Error from server %(Forbidden%)" },
    why = "the cluster does not allow it ({1})",
    hint = "the role needs create on pods/portforward, and get on what is named" },
  { name = "not_found", patterns = { "Error from server %(NotFound%): (.+)" },
    why = "the cluster does not have it: {1}", hint = "check resource and namespace" },
  { name = "logged_out", patterns = { "must be logged in to the server", "Unauthorized", "getting credentials: (.+)" },
    why = "the cluster does not accept the credentials ({1})", hint = "log in again, or give kubeconfig and context" },
  { name = "no_config", config = true, patterns = { "error loading config file \"([^\"]+)\"",
    "context \"([^\"]+)\" does not exist", "context was not found for specified context: (%S+)" },
    why = "its configuration cannot be used ({1})", hint = "give kubeconfig and context" },
  { name = "cluster_unreachable", patterns = { "connection to the server (%S+) was refused",
    "Unable to connect to the server: (.+)" }, why = "no connection to the cluster ({1})",
    hint = "check kubeconfig and context, and that this machine may reach the cluster" },
  { name = "not_running", patterns = { "unable to forward port because pod is not running.*phase=(%w+)" },
    why = "the pod does not run ({1})" },
  { name = "lost", patterns = { "lost connection to pod", "error forwarding port (%d+)" },
    why = "the connection to the pod was lost",
    hint = "the pod was replaced, or nothing listens on remote_port; run again" },
  { name = "port_in_use", patterns = { "unable to listen on any of the requested ports" },
    why = "its port is in use by another program", hint = "leave `port` out: a free one is found" },
}

function M.command(o)
  local cmd = { o.program, "port-forward", "--address", o.host }
  local function add(flag, value) if value then cmd[#cmd + 1], cmd[#cmd + 2] = flag, value end end
  add("--kubeconfig", o.kubeconfig)
  add("--context", o.context)
  add("--namespace", o.namespace)
  for _, word in ipairs(o.args or {}) do cmd[#cmd + 1] = word end
  cmd[#cmd + 1] = o.resource
  cmd[#cmd + 1] = ("%d:%d"):format(o.port, o.remote_port or 5432)
  return cmd, {}
end

function M.ready(o) return { log = ("Forwarding from %s:%d"):format(o.host, o.port) } end

function M.lint(cmd, _, add)
  if flags.is_wildcard(flags.value(cmd, "--address")) then flags.wildcard(add) end
end

return M
