return {
  name = "research",
  order = 30,
  environments = { "development", "staging", "test" },
  idempotent = true,
  needs = { "development", "table:organization", "table:user" },
  description = "plans, steps, artifacts, outputs",
}
