return {
  name = "search",
  order = 40,
  environments = { "development", "staging", "test" },
  idempotent = true,
  needs = { "research", "table:research_artifact" },
  description = "document chunks with their embeddings",
}
