-- What the application cannot start without. Runs everywhere, production too, so it may only add and correct:
-- a price that is wrong here is mended in place, a model that goes out of use becomes `deprecated` and stays.
return {
  name = "reference",
  order = 10,
  environments = "all",
  idempotent = true,
  description = "AI models and what they cost",
  tables = {
    ai_model = { key = { "id" }, touch = "updated_at" },
    ai_model_pricing = { key = { "model_id", "effective_from" } },
  },
}
