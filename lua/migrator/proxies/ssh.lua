---`ssh -L`: a port of this machine carried to where a host that we may log in to can reach.
local flags = require "migrator.proxies.flags"

local M = {
  name = "ssh", programs = { "ssh" }, pipe = true,
  options = { to = "string!", target = "string", identity = "string", ssh_port = "port", jump = "string" },
}

M.causes = {
  { name = "host_key", patterns = { "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED" },
    why = "the host key is not known, or has changed",
    hint = "put the right key into known_hosts (`ssh-keyscan`, compared with what its owner says)" },
  { name = "login_refused", patterns = { "Permission denied %(([^)]+)%)", "Too many authentication failures" },
    why = "the host did not accept the login ({1})", hint = "give `identity`, or load the key into the agent" },
  { name = "forward_refused", patterns = { "Could not request local forwarding", "administratively prohibited" },
    why = "the forwarding was refused", hint = "sshd_config needs AllowTcpForwarding; the local port must be free" },
  { name = "target_unreachable", passing = true, patterns = { "open failed: connect failed: (.+)" },
    why = "the host cannot reach the database ({1})", hint = "check `target`, as seen from that host" },
  { name = "host_unreachable", patterns = { "connect to host (.-): [CNO][^\n]+" },
    why = "no connection to host {1}", hint = "check `to`, and that this machine may reach its SSH port" },
  { name = "lost", patterns = { "client_loop: send disconnect: (.+)", "Timeout, server ([^ ]+) not responding",
    "Connection to (%S+) closed by remote host" }, why = "the connection was lost ({1})", hint = "run again" },
}

function M.command(o)
  local cmd = { o.program, "-N", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes",
    "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3",
    "-L", ("%s:%d:%s"):format(o.host, o.port, o.target) }
  local function add(flag, value) if value then cmd[#cmd + 1], cmd[#cmd + 2] = flag, value end end
  add("-i", o.identity)
  add("-p", o.ssh_port)
  add("-J", o.jump)
  for _, word in ipairs(o.args or {}) do cmd[#cmd + 1] = word end
  cmd[#cmd + 1] = o.to
  return cmd, {}
end

-- It binds the port once it is logged in; a look that connected would open a connection to the database.
function M.ready(o) return { port = o.port } end

---Of `-L [address:]port:host:hostport` what stands before the port.
local function address_of(forward) return forward:match("^(.-):%d+:.+:%d+$") or forward:match("^(%*):") end

function M.lint(cmd, _, add)
  local options = " " .. table.concat(cmd, " ", 2):lower()
  if options:find(" %-g") or options:find("gatewayports[= ]yes")
    or flags.is_wildcard(address_of(flags.value(cmd, "-L") or "")) then
    flags.wildcard(add)
  end
  if options:find("stricthostkeychecking[= ]no") then
    add("host_key", "error", "StrictHostKeyChecking=no lets anybody in between take the password",
      "put the host's key into known_hosts")
  end
  if not options:find("exitonforwardfailure[= ]yes") then
    add("forward_failure", "warning",
      "without ExitOnForwardFailure=yes it stays, and forwards nothing, when the port is taken",
      "add -o ExitOnForwardFailure=yes")
  end
end

return M
