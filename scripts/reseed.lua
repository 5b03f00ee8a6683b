-- Everything dropped and made anew, then a preset of seeds: outside of the deploy, which a long preset would hold up.
--
--   MIGRATOR_CONFIRM=reset-staging migrator scripts/reseed.lua full
--
-- Set in the job's environment: DATABASE_URL and NODE_ENV. The phrase comes by MIGRATOR_CONFIRM and names the target; for
-- production the host must stand in `hosts` of migrator.config.lua, and MIGRATOR_RESET_TARGET must name the database.

local dir = env.get("MIGRATOR_DIR", "migrations")
local seeds = env.get("MIGRATOR_SEEDS", "seeds")
local preset = arg[1] or env.require "SEED_PRESET"

return pipeline {
  name = "reseed",
  deadline = env.get("RESEED_DEADLINE", "45m"),
  steps = {
    steps.secret { name = "DATABASE_URL", from = env.get("SECRET_FROM", "env:DATABASE_URL") },
    steps.wait { database = { every = 2, timeout = 20 } },

    -- Journal, files, preset, privileges, extensions and other sessions are looked at before anything goes.
    steps.reset { dir = dir, seeds = seeds, preset = preset },
    steps.migrate { dir = dir, lock_timeout = "5s", tx = "all" },
    steps.verify { dir = dir, policy = policy.verify.strict },
    steps.seed { dir = seeds, preset = preset },
    steps.report { "text", "github" },
  },
}
