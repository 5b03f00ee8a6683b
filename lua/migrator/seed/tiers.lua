---Finds the tiers in the folder of seeds, and puts them in order. Everything that can be wrong without a database is
---found here.
local declare = require "migrator.seed.declare"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local gate = require "migrator.seed.gate"
local presets_of = require "migrator.seed.presets"
local sandbox = require "migrator.sandbox"
local script = require "migrator.seed.script"
local suggest = require "migrator.lib.suggest"

local M = {}

local KINDS = { sql = true, csv = true, json = true, jsonl = true, lua = true }
local MUST_RUN = { sql = true, lua = true }

local function fail(file, message, hint) errors.raise("config", { message = message, file = file, hint = hint }) end

---Runs a declaration. It sees the safe standard library and `env`, and no database.
local function evaluate(config, path, folder)
  local env = sandbox.new({ env = script.variables(config) }, { folder = folder, unsafe = config.unsafe })
  local ok, value = pcall(function() return sandbox.load(path, env)() end)
  if ok then return value end
  if errors.is(value, "interrupted") then error(value, 0) end
  local err = errors.wrap(value, "config")
  err.code, err.file = "config", err.file or path
  error(err, 0)
end

local function add_file(tier, name)
  local path = tier.folder .. "/" .. name
  if name == "tier.lua" or fs.find(path).type ~= "file" or name:sub(1, 1) == "." then return nil end
  local number, rest, kind = name:match("^(%d+)[_-](.+)%.(%w+)$")
  if number and KINDS[kind] then
    tier.files[#tier.files + 1] = { path = path, name = name, kind = kind, table = rest, number = tonumber(number) }
    return nil
  end
  if number then fail(path, ("a tier cannot run a .%s file"):format(kind),
    "sql, csv, json, jsonl and lua are known") end
  local ending = name:match("%.(%w+)$")
  if MUST_RUN[ending] and not name:find("^_") then
    fail(path, "the file has no number, so it would never run", ("call it 10_%s, or _%s when another file requires it")
      :format(name, name))
  end
  return KINDS[ending] and path or nil
end

local function read_files(tier)
  local data, reads = nil, tier.run ~= nil
  for _, name in ipairs(fs.list(tier.folder)) do data = add_file(tier, name) or data end
  table.sort(tier.files, function(a, b)
    if a.number ~= b.number then return a.number < b.number end
    return a.name < b.name
  end)
  for _, file in ipairs(tier.files) do reads = reads or file.kind == "lua" end
  if data and not reads and not data:find("/_[^/]*$") then
    fail(data, "nothing reads this file", "number it (10_table.csv), or write a .lua file that reads it")
  end
  if #tier.files == 0 and not tier.run then
    fail(tier.file, ("tier %s has nothing to run"):format(tier.name),
      "put files called 10_name.sql (csv, json, jsonl, lua) beside it")
  end
end

local function find(config, seeds)
  local out = {}
  for _, name in ipairs(fs.list(seeds)) do
    local path = seeds .. "/" .. name
    local is_folder = fs.find(path).type == "directory"
    local single = not is_folder and name ~= presets_of.FILE and name:match("^([^._].*)%.lua$")
    local own = path .. "/tier.lua"
    if single then
      out[#out + 1] = declare.read(evaluate(config, path, seeds), { name = single, file = path, folder = seeds,
        single = true })
    elseif is_folder and fs.find(own) then
      local tier = declare.read(evaluate(config, own, path), { name = name, file = own, folder = path })
      read_files(tier)
      out[#out + 1] = tier
    elseif is_folder and name:sub(1, 1) ~= "." and name:sub(1, 1) ~= "_" then
      fail(path, "the folder has no tier.lua, so it would never run",
        "declare the tier there, or call the folder _" .. name)
    elseif name:find("%.sql$") and name:sub(1, 1) ~= "_" then
      fail(path, "the file is in no tier, so it would never run", "put it into a folder with a tier.lua")
    end
  end
  return out
end

local function check_unique(tiers)
  local names, orders = {}, {}
  for _, tier in ipairs(tiers) do
    local same_name, same_order = names[tier.name], orders[tier.order]
    if same_name then fail(tier.file, ("the name %s is used by %s already"):format(tier.name, same_name.file)) end
    if same_order then fail(tier.file, ("order %d is used by %s already"):format(tier.order, same_order.file)) end
    names[tier.name], orders[tier.order] = tier, tier
  end
  return names
end

local function names_of(tiers)
  local out = {}
  for i, tier in ipairs(tiers) do out[i] = tier.name end
  return out
end

local function check_needs(tier, by_name, tiers)
  for _, need in ipairs(tier.needs) do
    local other = by_name[need]
    if not other then
      fail(tier.file, ("tier %s needs %q, and there is no such tier"):format(tier.name, need),
        suggest.hint(need, names_of(tiers)) or ('a table is written "table:%s"'):format(need))
    end
    for environment in pairs(tier.environments) do
      if not other.environments[environment] then
        fail(tier.file, ("tier %s runs in %s, but %s, which it needs, does not"):format(tier.name, environment, need))
      end
    end
  end
end

---Each behind what it needs, otherwise by declared order.
local function put_in_order(tiers, by_name)
  local out, state, trail = {}, {}, {}
  table.sort(tiers, function(a, b) return a.order < b.order end)
  local function visit(tier)
    if state[tier] == "done" then return end
    trail[#trail + 1] = tier.name
    if state[tier] then fail(tier.file, "the tiers need each other in a circle: " .. table.concat(trail, " -> ")) end
    state[tier] = "open"
    for _, need in ipairs(tier.needs) do visit(by_name[need]) end
    trail[#trail], state[tier] = nil, "done"
    out[#out + 1] = tier
  end
  for _, tier in ipairs(tiers) do visit(tier) end
  return out
end

local function read_presets(config, tiers)
  local path = config.seeds .. "/" .. presets_of.FILE
  local raw
  if fs.find(path) then
    raw = evaluate(config, path, config.seeds)
    if raw == nil then fail(path, "the file returns the presets, a table") end
  end
  return presets_of.read(raw, path, tiers)
end

---All tiers, checked and in the order in which they run.
---@param config migrator.Config
---@return migrator.Tier[], table<string, migrator.SeedPreset>
function M.load(config)
  local seeds = config.seeds
  local found = fs.find(seeds)
  if not found or found.type ~= "directory" then
    fail(seeds, "no such folder of seeds",
      "name it with --seeds, MIGRATOR_SEEDS or `seeds` in migrator.config.lua")
  end
  local tiers = find(config, seeds)
  local by_name = check_unique(tiers)
  for _, tier in ipairs(tiers) do check_needs(tier, by_name, tiers) end
  tiers = put_in_order(tiers, by_name)
  for _, tier in ipairs(tiers) do script.check(tier, config) end
  return tiers, read_presets(config, tiers)
end

---@class migrator.SeedSelection
---@field environment migrator.Environment
---@field tiers migrator.Tier[] to run, in order
---@field skipped { tier: migrator.Tier, reason: string }[]

---Which tiers run here. A tier that is asked for by name and may not run is an error; otherwise it is skipped, with
---the reason.
---@param config migrator.Config
---@param asked? string[]|migrator.SeedNames
---@return migrator.SeedSelection
function M.select(config, asked)
  local all, presets = M.load(config)
  local names, wanted = presets_of.choose(presets, asked, names_of(all), config.seeds), nil
  local environment = gate.environment(config)
  local selection = { environment = environment, tiers = {}, skipped = {} }
  if names and #names == 0 then
    fail(nil, "the list of tiers is empty", "leave it out for all that the environment allows")
  end
  for _, name in ipairs(names or {}) do
    if type(name) ~= "string" then fail(nil, "tiers: a list of names is wanted, one is a " .. type(name)) end
    wanted = wanted or {}
    wanted[name] = true
    local known = false
    for _, tier in ipairs(all) do known = known or tier.name == name end
    if not known then
      fail(nil, ("there is no tier %q in %s"):format(name, config.seeds), suggest.hint(name, names_of(all))
        or "tiers: " .. table.concat(names_of(all), ", "))
    end
  end
  for _, tier in ipairs(all) do
    local objection = gate.find_objection(tier, environment)
    if not wanted or wanted[tier.name] then
      if objection and wanted then
        fail(tier.file, ("tier %s is %s"):format(tier.name, objection), "environment: " .. environment.why)
      end
      if objection then
        table.insert(selection.skipped, { tier = tier, reason = objection })
      else
        gate.check_truncates(tier, environment, config)
        table.insert(selection.tiers, tier)
      end
    end
  end
  return selection
end

return M
