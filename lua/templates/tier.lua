-- The tier `reference`: rows that the application cannot do without, in production too. Its files run in the order of
-- their numbers, in one transaction: 10_NAME.sql as it is, 20_TABLE.csv and 20_TABLE.json as rows of that table.
return {
  order = 10,
  environments = "all",
  idempotent = true, -- a second run changes nothing; `migrator seed --prove` shows it
  description = "reference data",
  -- tables = { plans = { key = { "code" } } },   -- what tells one row of 20_plans.csv from another
}
