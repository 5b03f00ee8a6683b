-- A laptop's database, from nothing: migrator scripts/local.lua
-- Migrates, checks and seeds whatever DATABASE_URL names; `migrator reset --drop` empties it first.

return pipeline {
  name = "local",
  steps = {
    steps.wait { database = { every = 0.5, timeout = 30 } },
    steps.migrate { order = "non-linear", edited = "allow" },
    steps.verify { policy = policy.verify.set },
    steps.seed {},
    steps.report { "text" },
  },
}
