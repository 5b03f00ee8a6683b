---The ready-made steps of a pipeline. Each is a function: options in, a step out.
local closed = require "migrator.lib.closed"

local M = {}

for _, name in ipairs { "detect", "auth", "secret", "proxy", "wait", "migrate", "repeatable", "rls_audit", "alembic",
  "verify", "seed", "run", "preflight", "gate", "promote", "drift", "http", "reset",
  "report" } do
  M[name] = require("migrator.steps." .. name)
end

return closed("steps", M)
