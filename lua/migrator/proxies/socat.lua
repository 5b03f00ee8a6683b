---socat: a port of this machine, carried to another address or a Unix socket.
local flags = require "migrator.proxies.flags"

local M = { name = "socat", programs = { "socat" }, pipe = true, options = { target = "string" } }

M.causes = {
  { name = "target_unreachable", passing = true,
    patterns = { "E connect%(%d+, AF=%d+ \"?([^,\"]*)\"?, %d+%): ([%w ]+)" },
    why = "no connection to the target ({1}: {2})", hint = "check `target`, and that this machine may reach it" },
  { name = "bad_address", config = true, patterns = { "E unknown device/address \"([^\"]+)\"",
    "E (wrong number of parameters.+)",
    "E exactly 2 addresses required" }, why = "it does not take its arguments ({1})",
    hint = "see `target` and `args`" },
}

function M.command(o)
  local cmd = { o.program }
  for _, word in ipairs(o.args or {}) do cmd[#cmd + 1] = word end
  cmd[#cmd + 1] = ("TCP-LISTEN:%d,bind=%s,reuseaddr,fork"):format(o.port, o.host)
  cmd[#cmd + 1] = o.target:find("^/") and "UNIX-CONNECT:" .. o.target or "TCP:" .. o.target
  return cmd, {}
end

-- A look that connected would open a connection to the database.
function M.ready(o) return { port = o.port } end

function M.lint(cmd, _, add)
  for i = 2, #cmd do
    local word = tostring(cmd[i])
    if word:upper():find("^TCP4?6?%-L[ISTEN]*:") then
      local bind = word:match(",bind=([^,]+)")
      if not bind or flags.is_wildcard(bind) then flags.wildcard(add) end
    end
  end
end

return M
