---What a tier says of itself: checked as a whole before anything runs.
local errors = require "migrator.error"
local gate = require "migrator.seed.gate"
local suggest = require "migrator.lib.suggest"

local M = {}

---@class migrator.Tier
---@field name string
---@field order integer
---@field environments table<string, true>
---@field idempotent boolean
---@field truncates string[] its own tables, emptied before anything else
---@field needs string[] names of tiers
---@field needs_tables string[] tables that must have rows
---@field tables table<string, migrator.TierTable>
---@field description string
---@field role? string
---@field vars? table<string, string>
---@field run? fun(seed: table)
---@field file string where the declaration is
---@field folder string where its files are
---@field files { path: string, kind: string, table: string }[]

local KINDS = {
  name = "string", order = "integer", environments = "environments", idempotent = "boolean", truncates = "list",
  needs = "list", tables = "tables", description = "string", role = "string", vars = "table", run = "function",
}
local REQUIRED = { "order", "environments", "idempotent" }
local TABLE_KEYS = { key = "list", update = "list", touch = "string", null = "string", insert_missing = "boolean" }

local function fail(file, message, hint) errors.raise("config", { message = message, file = file, hint = hint }) end

local function sorted_keys(map)
  local out = {}
  for key in pairs(map) do out[#out + 1] = key end
  table.sort(out, function(a, b) return tostring(a) < tostring(b) end)
  return out
end

local function check_list(value)
  if type(value) ~= "table" then return false end
  for key, item in pairs(value) do
    if math.type(key) ~= "integer" or type(item) ~= "string" then return false end
  end
  return true
end

local function fits(kind, value)
  if kind == "integer" then return math.type(value) == "integer" end
  if kind == "list" then return check_list(value) end
  if kind == "environments" then return value == "all" or check_list(value) end
  if kind == "tables" then return type(value) == "table" end
  return type(value) == kind
end

local WANTS = { integer = "a whole number", list = "a list of names", boolean = "true or false", string = "a text",
  environments = '"all" or a list of environments', table = "a table", tables = "a table of tables",
    ["function"] = "a function" }

local function check_keys(raw, known, file, what)
  for _, key in ipairs(sorted_keys(raw)) do
    local kind = known[key]
    if not kind then
      fail(file, ("unknown key %q in %s"):format(tostring(key), what),
        suggest.hint(tostring(key), sorted_keys(known)) or "known keys: " .. table.concat(sorted_keys(known), ", "))
    end
    if not fits(kind, raw[key]) then fail(file, ("%s: %s wants %s"):format(what, key, WANTS[kind])) end
  end
end

local function read_environments(raw, file)
  local out = {}
  local list = raw == "all" and gate.ENVIRONMENTS or raw
  for _, name in ipairs(list) do
    local known = false
    for _, environment in ipairs(gate.ENVIRONMENTS) do known = known or environment == name end
    if not known then
      fail(file, ("there is no environment %q"):format(name), suggest.hint(name, gate.ENVIRONMENTS)
        or "environments: " .. table.concat(gate.ENVIRONMENTS, ", "))
    end
    out[name] = true
  end
  if not next(out) then fail(file, "environments is empty: the tier would never run") end
  return out
end

local function read_needs(tier, list)
  for _, need in ipairs(list) do
    local name = need:match("^table:(.+)$")
    table.insert(name and tier.needs_tables or tier.needs, name or need)
  end
end

local function check_sense(tier, file)
  if #tier.truncates > 0 and tier.environments.production then
    fail(file, ("tier %s truncates tables, so it cannot be for production"):format(tier.name),
      "take production out of its environments, or use seed.upsert and truncate nothing")
  end
  if #tier.truncates > 0 and tier.idempotent then
    fail(file, ("tier %s truncates its tables, so it makes its rows anew each time"):format(tier.name),
      "say idempotent = false, or use seed.upsert and truncate nothing")
  end
end

---@param raw any what the file returned
---@param found { name: string, file: string, folder: string, single: boolean }
---@return migrator.Tier
function M.read(raw, found)
  local file = found.file
  if type(raw) ~= "table" then fail(file, "a tier's file returns its declaration, a table") end
  check_keys(raw, KINDS, file, "the declaration of tier " .. found.name)
  for _, key in ipairs(REQUIRED) do
    if raw[key] == nil then fail(file, ("the declaration of tier %s lacks %q"):format(found.name, key)) end
  end
  for name, options in pairs(raw.tables or {}) do
    if type(options) ~= "table" then fail(file, ("tables: %s wants a table of options"):format(tostring(name))) end
    check_keys(options, TABLE_KEYS, file, "tables." .. tostring(name))
  end
  if found.single and not raw.run then fail(file, "a tier in a single file needs run = function(seed) … end") end
  local tier = { name = raw.name or found.name, order = raw.order, environments = read_environments(raw.environments,
    file),
    idempotent = raw.idempotent, truncates = raw.truncates or {}, needs = {}, needs_tables = {}, tables = raw.tables
      or {},
    description = raw.description or "", role = raw.role, vars = raw.vars, run = raw.run, file = file,
    folder = found.folder, files = {} }
  read_needs(tier, raw.needs or {})
  check_sense(tier, file)
  return tier
end

return M
