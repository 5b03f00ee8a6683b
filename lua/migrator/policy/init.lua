---Policies: facts in, a decision out, no I/O. A script names a ready-made one or gives a function.
---`advice`: hints by SQLSTATE, shown where an error has none.
local M = {
  advice = require("migrator.lib.advice").custom,
  lock = require "migrator.policy.lock",
  retry = require "migrator.policy.retry",
  verify = require "migrator.policy.verify",
}

return M
