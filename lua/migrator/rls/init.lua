---Row-level security: policies replaced and made by template, tables audited, work done as the application's role.
local M = {
  replace_policy = require("migrator.rls.policies").replace_policy,
  tenant_policies = require("migrator.rls.policies").tenant_policies,
  audit = require("migrator.rls.audit").run,
}

return M
