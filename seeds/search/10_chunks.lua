-- The embeddings were computed beforehand (1536 numbers each). The same rows fit a vector column and a real[] one.
seed.upsert("document_chunk", {
  key = { "artifact_id", "chunk_index" },
  rows = seed.jsonl "chunks.jsonl",
})
