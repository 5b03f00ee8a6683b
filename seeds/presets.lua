-- What runs together: `migrator seed --preset testing`, `migrator reset --seed lite`, `migrator scripts/reseed.lua full`.
return {
  lite = { tiers = { "reference" }, description = "what the application cannot start without" },
  testing = { tiers = { "reference", "development" }, description = "people to log in as, nothing more" },
  full = { tiers = "all", description = "all that the environment allows" },
}
