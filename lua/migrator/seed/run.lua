---Runs tiers: checks first, then one transaction each.
local api = require "migrator.seed.api"
local clock = require "migrator.core.clock"
local counts_of = require "migrator.seed.counts"
local errors = require "migrator.error"
local gate = require "migrator.seed.gate"
local load_rows = require "migrator.seed.load"
local readers = require "migrator.seed.readers"
local rls_globals = require "migrator.rls.globals"
local script = require "migrator.seed.script"
local truncate = require "migrator.seed.truncate"
local values = require "migrator.seed.values"

local M = {}

---@class migrator.SeedResult
---@field tier string
---@field tables table<string, table<string, integer>> by table: created, updated, unchanged, copied, truncated, …
---@field counts migrator.SeedCounts
---@field elapsed number seconds

local DATA = { csv = true, json = true, jsonl = true }
-- These keep their code, and so their exit code: the run may be tried again, or was stopped.
local KEPT = { connect = true, timeout = true, lock = true, interrupted = true, internal = true }

local function rows_of(file, options)
  if file.kind == "csv" then return readers.csv(file.path, { null = options.null }) end
  if file.kind == "jsonl" then return readers.jsonl(file.path) end
  local rows = readers.json(file.path)
  if type(rows) ~= "table" or (#rows == 0 and next(rows)) then
    errors.raise("seed", { message = "the file is not a list of rows", file = file.path })
  end
  return rows
end

---A data file is upserted by the table's key; only a tier that is not idempotent, without a key among the file's
---columns, adds.
local function run_data(ctx, file)
  local options = ctx.tier.tables[file.table] or {}
  local info = values.table(ctx.conn, file.table)
  local rows = rows_of(file, options)
  local key = options.key or info.primary
  local header, has_key = rows.header, #key > 0
  for _, name in ipairs(header and key or {}) do
    local found = false
    for _, column in ipairs(header) do found = found or column == name end
    has_key = has_key and found
  end
  if has_key then
    local add = options.insert_missing and load_rows.insert_missing or load_rows.upsert
    add(ctx.conn, ctx.counts, file.table, { key = key, rows = rows, update = options.update, touch = options.touch })
  elseif ctx.tier.idempotent or options.key then
    errors.raise("seed",
      { message = ("the rows have no key of %s, so a second run would add them again"):format(file.table),
      file = file.path, hint = ("give the tier tables = { %s = { key = { … } } }"):format(file.table) })
  else
    load_rows.copy(ctx.conn, ctx.counts, file.table, nil, rows)
  end
end

local function check_needs(ctx)
  for _, name in ipairs(ctx.tier.needs_tables) do
    local info = values.table(ctx.conn, name)
    if not ctx.conn:value(("select exists (select 1 from %s)"):format(info.quoted)) then
      errors.raise("seed", { message = ("table %s is empty, and this tier needs its rows"):format(name),
        file = ctx.tier.file,
        hint = "run the tier that fills it first" })
    end
  end
end

local function run_files(ctx)
  local seed = api.new(ctx)
  -- rls.replace_policy(seed, …) becomes part of the tier's transaction.
  local rls = rls_globals(function(given) return rawequal(given, seed) and ctx.conn or given end)
  local globals = { seed = seed, rls = rls, env = seed.env, print = function(...) ctx.say(...) end }
  for _, file in ipairs(ctx.tier.files) do
    if file.kind == "sql" then
      script.run_sql(ctx.conn, file, ctx.counts)
    elseif DATA[file.kind] then
      run_data(ctx, file)
    else
      script.run_lua(file.path, globals, ctx.config)
    end
  end
  if ctx.tier.run then ctx.tier.run(seed) end
end

local function is_ours(text, tier)
  local file = text:match("^([^\n:]+%.lua):%d+: ")
  return not file or file:sub(1, #tier.folder + 1) ~= tier.folder .. "/"
end

---A row that refers to one that only a later file brings: the order of the files is at fault, and can be said.
local function advise(err, tier)
  if err.sqlstate ~= "23503" or err.hint or not err.file then return end
  local parent, own = (err.detail or ""):match('is not present in table "(.-)"'), nil
  for _, file in ipairs(tier.files) do
    if own and file.table == parent then
      err.hint = ("%s brings the rows of %s: number it before %s"):format(file.name, parent, own)
      return
    end
    if file.path == err.file then own = file.name end
  end
end

---Whatever went wrong in a tier is a `seed` error that names it.
local function blame(err, tier)
  if type(err) == "string" and is_ours(err, tier) then err = errors.wrap(err, "internal") end
  err = errors.wrap(err, "seed")
  advise(err, tier)
  if not KEPT[err.code] then err.code = "seed" end
  err.message = ("tier %s: %s"):format(tier.name, err.message)
  err.tier = tier.name
  err.state = err.state or ("tier %s was rolled back as a whole"):format(tier.name)
  return err
end

---@param config migrator.Config
---@param conn migrator.Conn
---@param tier migrator.Tier
---@param environment migrator.Environment
---@param emit fun(name: string, data: table)
---@return migrator.SeedResult
function M.tier(config, conn, tier, environment, emit)
  local started = clock.now()
  local counts = counts_of.new(function(name, field, n) emit("rows", { tier = tier, table = name, field = field,
    n = n }) end)
  local ctx = { conn = conn, counts = counts, tier = tier, config = config, environment = environment,
    say = function(...)
      local out = table.pack(...)
      for i = 1, out.n do out[i] = tostring(out[i]) end
      emit("print", { tier = tier, message = table.concat(out, "\t") })
    end }
  local ok, err = pcall(conn.transaction, conn, function()
    check_needs(ctx)
    truncate.run(conn, counts, tier.truncates, tier.truncates)
    run_files(ctx)
  end, { role = tier.role, vars = tier.vars })
  for _, notice in ipairs(conn:notices()) do emit("notice", notice) end
  if not ok then error(blame(err, tier), 0) end
  return { tier = tier.name, tables = counts.tables, counts = counts, elapsed = clock.now() - started }
end

---Every table that a declaration or a data file names is there, before the first tier begins.
local function check_tables(conn, tier)
  local function look(name, file)
    local ok, err = pcall(values.table, conn, name)
    if not ok then error(blame(errors.add(err, { file = file, state = "nothing was changed" }), tier), 0) end
    return err
  end
  for _, name in ipairs(tier.truncates) do look(name, tier.file) end
  for _, name in ipairs(tier.needs_tables) do look(name, tier.file) end
  for _, file in ipairs(tier.files) do
    if DATA[file.kind] then look(file.table, file.path) end
  end
  for name in pairs(tier.tables) do look(name, tier.file) end
end

---Runs the tiers in the order given. Raises at the first that fails; what earlier tiers did is in the error's
---`results`.
---@param config migrator.Config
---@param conn migrator.Conn
---@param tiers migrator.Tier[] of tiers.select
---@param emit? fun(name: string, data: table)
---@param environment? migrator.Environment
---@return migrator.SeedResult[]
function M.tiers(config, conn, tiers, emit, environment)
  emit = emit or function() end
  environment = environment or gate.environment(config)
  for _, tier in ipairs(tiers) do
    local objection = gate.find_objection(tier, environment)
    if objection then errors.raise("config", { message = ("tier %s is %s"):format(tier.name, objection),
      file = tier.file }) end
    gate.check_truncates(tier, environment, config, conn)
    check_tables(conn, tier)
  end
  local results = {}
  for i, tier in ipairs(tiers) do
    emit("tier", { tier = tier, number = i, total = #tiers })
    local ok, result = pcall(M.tier, config, conn, tier, environment, emit)
    if not ok then error(errors.add(result, { results = results }), 0) end
    results[i] = result
    emit("seeded", result)
  end
  return results
end

return M
