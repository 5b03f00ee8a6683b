---Policies: facts in, a decision out, no I/O. A script names a ready-made one or gives a function.
---`advice`: hints by SQLSTATE, shown where an error has none.
local closed = require "migrator.lib.closed"

local M = {
  advice = require("migrator.lib.advice").custom,
  lock = closed("policy.lock", require "migrator.policy.lock"),
  retry = closed("policy.retry", require "migrator.policy.retry"),
  victims = closed("policy.victims", require "migrator.policy.victims"),
  verify = closed("policy.verify", require "migrator.policy.verify"),
}

return closed("policy", M)
