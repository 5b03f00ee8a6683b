---Presets: names for tiers that run together, as data in seeds/presets.lua. `full` is always there.
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

local M = {}

M.FILE = "presets.lua"

---@class migrator.SeedPreset
---@field tiers string[]|"all" all: those that the environment allows
---@field description string

local KEYS = { "tiers", "description" }

local function fail(file, message, hint) errors.raise("config", { message = message, file = file, hint = hint }) end

local function names_of(map)
  local out = {}
  for name in pairs(map) do out[#out + 1] = tostring(name) end
  table.sort(out)
  return out
end

local function check_list(list, name, file)
  local count = 0
  for key, value in pairs(list) do
    count = count + 1
    if math.type(key) ~= "integer" or type(value) ~= "string" then
      fail(file, ("preset %s: the tiers are a list of names"):format(name))
    end
  end
  if count == 0 then fail(file, ("preset %s is empty: it would seed nothing"):format(name)) end
  if count ~= #list then fail(file, ("preset %s: the list of tiers has a hole"):format(name)) end
end

---Every tier is there, and so is what it needs: a preset starts from nothing.
local function check_tiers(list, name, file, by_name)
  local has = {}
  for _, tier in ipairs(list) do has[tier] = true end
  for _, tier in ipairs(list) do
    if not by_name[tier] then
      fail(file, ("preset %s: there is no tier %q"):format(name, tier), suggest.hint(tier, names_of(by_name))
        or "tiers: " .. table.concat(names_of(by_name), ", "))
    end
    for _, need in ipairs(by_name[tier].needs) do
      if not has[need] then fail(file, ("preset %s lacks tier %s, which %s needs"):format(name, need, tier)) end
    end
  end
end

local function read_one(name, value, file, by_name)
  if type(name) ~= "string" or not name:find("^[%w][%w_-]*$") then
    fail(file, ("a preset's name is made of letters, digits, _ and -, not %q"):format(tostring(name)))
  end
  if by_name[name] then
    fail(file, ("preset %s has the name of a tier"):format(name), "one of them needs another name")
  end
  local long = type(value) == "table" and (value.tiers ~= nil or value.description ~= nil)
  for key in pairs(long and value or {}) do
    if key ~= "tiers" and key ~= "description" then
      fail(file, ("preset %s has an unknown key %q"):format(name, tostring(key)), suggest.hint(tostring(key), KEYS))
    end
  end
  local out = { tiers = value, description = "" }
  if long then out = { tiers = value.tiers, description = value.description or "" } end
  if type(out.description) ~= "string" then fail(file, ("preset %s: description wants a text"):format(name)) end
  if out.tiers == "all" then return out end
  if type(out.tiers) ~= "table" then
    fail(file, ('preset %s wants "all" or a list of tiers'):format(name),
      "the file returns { NAME = { \"tier\", … } }; a tier of this name must be called otherwise")
  end
  check_list(out.tiers, name, file)
  check_tiers(out.tiers, name, file, by_name)
  return out
end

---@param raw any what the file returned; nil: there is none
---@param file string
---@param tiers migrator.Tier[]
---@return table<string, migrator.SeedPreset>
function M.read(raw, file, tiers)
  local out, by_name = {}, {}
  for _, tier in ipairs(tiers) do by_name[tier.name] = tier end
  if raw ~= nil and type(raw) ~= "table" then fail(file, "the file returns the presets, a table") end
  for name, value in pairs(raw or {}) do out[name] = read_one(name, value, file, by_name) end
  if not by_name.full then
    out.full = out.full or { tiers = "all", description = "all that the environment allows" }
  end
  return out
end

---The names of presets, in order.
---@param presets table<string, migrator.SeedPreset>
---@return string[]
function M.names(presets) return names_of(presets) end

local function has(list, wanted)
  for _, name in ipairs(list) do
    if name == wanted then return true end
  end
  return false
end

local function resolve(presets, name, folder)
  local found = presets[name]
  if not found then
    local known = names_of(presets)
    local near = suggest.hint(name, known)
    fail(nil, ("there is no preset %q in %s/%s"):format(name, folder, M.FILE),
      (near and near .. "; " or "") .. "presets: " .. table.concat(known, ", "))
  end
  return found.tiers ~= "all" and found.tiers or nil
end

local function refuse(name, presets, tiers, folder)
  local known = names_of(presets)
  if presets[name] then
    fail(nil, ("the preset %s stands alone"):format(name), "name one preset, or tiers with commas between them")
  end
  local near = suggest.hint(name, table.move(tiers, 1, #tiers, #known + 1, names_of(presets)))
  fail(nil, ("there is no preset or tier %q in %s"):format(name, folder), (near and near .. "; " or "")
    .. ("presets: %s; tiers: %s"):format(table.concat(known, ", "), table.concat(tiers, ", ")))
end

---@class migrator.SeedNames a list of names of tiers, or one of
---@field preset? string
---@field either? string a preset, or names of tiers with commas between them

---@param presets table<string, migrator.SeedPreset>
---@param asked? string[]|migrator.SeedNames
---@param tiers string[] names of all
---@param folder string of the seeds
---@return string[]|nil names of tiers; nil: all that the environment allows
function M.choose(presets, asked, tiers, folder)
  if not asked or not (asked.preset or asked.either) then return asked end
  if asked.preset then return resolve(presets, asked.preset, folder) end
  local names = {}
  for word in asked.either:gmatch("[^,%s]+") do names[#names + 1] = word end
  if #names == 1 and presets[names[1]] then return resolve(presets, names[1], folder) end
  if #names == 0 then refuse(asked.either, presets, tiers, folder) end
  for _, name in ipairs(names) do
    if not has(tiers, name) then refuse(name, presets, tiers, folder) end
  end
  return names
end

return M
