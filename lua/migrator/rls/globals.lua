---`rls` as scripts, specs and seed tiers see it: loaded when first called, failures at the caller's line.
local blame = require "migrator.lib.blame"
local closed = require "migrator.lib.closed"

---@param resolve fun(given: any): any what stands for a session -> the session
---@return table
return function(resolve)
  local out = {}
  for _, name in ipairs { "replace_policy", "tenant_policies", "audit" } do
    out[name] = blame.guard(function(conn, ...) return require("migrator.rls")[name](resolve(conn), ...) end,
      "rls." .. name)
  end
  return closed("rls", out)
end
