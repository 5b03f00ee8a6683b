---Policies: facts in, a decision out, no I/O. A script names a ready-made one or gives a function.
local M = {
  lock = require "migrator.policy.lock",
  retry = require "migrator.policy.retry",
  verify = require "migrator.policy.verify",
}

return M
