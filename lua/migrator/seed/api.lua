---What a tier's Lua sees as `seed`.
local db = require "migrator.db"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local json = require "migrator.seed.json"
local list = require("migrator.sink").array
local load_rows = require "migrator.seed.load"
local readers = require "migrator.seed.readers"
local script = require "migrator.seed.script"
local sql = require "migrator.core.sql"
local suggest = require "migrator.lib.suggest"
local truncate = require "migrator.seed.truncate"
local values = require "migrator.seed.values"

local M = {}

---The tier's line that called: the first frame above whose file lies in the tier's folder.
local function caller(folder)
  for level = 3, 40 do
    local info = debug.getinfo(level, "Sl")
    if not info then return nil end
    local file = info.source:match("^@(.*)$")
    if file and file:sub(1, #folder + 1) == folder .. "/" then return file, info.currentline end
  end
end

---Failures of a primitive get the line of the tier that called it.
local function located(folder, fn)
  return function(...)
    local result = table.pack(pcall(fn, ...))
    if result[1] then return table.unpack(result, 2, result.n) end
    local err = result[2]
    if errors.is(err) and not err.file then
      local file, line = caller(folder)
      errors.add(err, { file = file, line = line })
    elseif type(err) == "string" and not err:find("^[^\n:]+%.lua:%d+: ") then
      local file, line = caller(folder)
      err = errors.new("seed", { message = err, file = file, line = line })
    end
    error(err, 0)
  end
end

local function check_still_open(conn)
  if conn:status() ~= "transaction" then
    errors.raise("seed", "the statement ended the tier's transaction: a tier is one transaction")
  end
end

local function make_exec(conn, counts)
  return function(text, ...)
    if type(text) ~= "string" then errors.raise("seed", "seed.exec wants the text of a statement") end
    local found = sql.split(text)
    for _, statement in ipairs(found) do
      local message, hint = script.find_refusal(statement)
      if message then errors.raise("seed", { message = message, hint = hint }) end
    end
    local rows = conn:exec(text, ...)
    check_still_open(conn)
    if found[1] and not rows.columns then script.count(counts, { words = found[1].words, text = text }, rows) end
    return rows
  end
end

local function make_path(folder)
  return function(name)
    if type(name) ~= "string" or name == "" then errors.raise("seed", "the name of a file is a text") end
    if name:sub(1, 1) == "/" or ("/" .. name .. "/"):find("/../", 1, true) then
      errors.raise("seed", { message = ("%s is outside the tier's folder"):format(name),
        hint = "keep the data beside the tier" })
    end
    local path = folder .. "/" .. name
    if not fs.find(path) then errors.raise("seed", { message = "no such file: " .. path }) end
    return path
  end
end

---@param ctx { conn: migrator.Conn, counts: migrator.SeedCounts, tier: migrator.Tier, config: migrator.Config }
---@return table seed
function M.new(ctx)
  local conn, counts, tier = ctx.conn, ctx.counts, ctx.tier
  local path = make_path(tier.folder)
  local api = {
    upsert = function(name, opts) return load_rows.upsert(conn, counts, name, opts) end,
    insert_missing = function(name, opts) return load_rows.insert_missing(conn, counts, name, opts) end,
    copy = function(name, columns, rows) return load_rows.copy(conn, counts, name, columns, rows) end,
    truncate = function(names) truncate.run(conn, counts, names or tier.truncates, tier.truncates) end,
    csv = function(name, opts) return readers.csv(path(name), opts) end,
    jsonl = function(name) return readers.jsonl(path(name)) end,
    json = function(name) return readers.json(path(name)) end,
    read = function(name) return fs.read(path(name)) end,
    exec = make_exec(conn, counts),
    require = function(condition, message)
      if not condition then errors.raise("seed", tostring(message or "a prerequisite is missing")) end
      return condition
    end,
    array = function(items) return values.array(items) end,
    encode = json.encode,
    path = path,
  }
  api.rows = api.exec
  for name, fn in pairs(api) do api[name] = located(tier.folder, fn) end
  api.list, api.bytea, api.null = list, db.bytea, db.null
  api.env, api.environment, api.tier = script.variables(ctx.config), ctx.environment.name, tier.name
  local names = {}
  for name in pairs(api) do names[#names + 1] = name end
  return setmetatable(api, { __index = located(tier.folder, function(_, key)
    errors.raise("seed", { message = ("there is no seed.%s"):format(tostring(key)),
      hint = suggest.hint(tostring(key), names) })
  end) })
end

return M
