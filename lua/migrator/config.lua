---The Config: every setting, and where it came from. Nothing else reads the environment or the project file.
local lazy = require "migrator.lib.lazy"
local duration = lazy.require "migrator.lib.duration"
local env = lazy.require "migrator.env"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local options = require "migrator.options"
local suggest = lazy.require "migrator.lib.suggest"

local M = {}

local FOLDERS = { "migrations", "drizzle", "src/migrations", "src/db/migrations", "db/migrations", "src/drizzle" }

local function fail(option, value, origin, wants)
  errors.raise("config", { message = ("%s: %s wants %s, got %q"):format(origin, option.name, wants, tostring(value)) })
end

local CONVERT = {}

function CONVERT.string(option, value, origin)
  if type(value) ~= "string" then fail(option, value, origin, "a text") end
  if value == "" and option.name == "dir" then fail(option, value, origin, "a folder") end
  return value
end

function CONVERT.list(option, value, origin)
  if type(value) == "string" then
    local out = {}
    for item in value:gmatch("[^,%s]+") do out[#out + 1] = item end
    return out
  end
  if type(value) ~= "table" then fail(option, value, origin, "a list") end
  return value
end

function CONVERT.flag(option, value, origin)
  if type(value) == "boolean" then return value end
  for _, word in ipairs(option.also or {}) do
    if value == word then return value end
  end
  local known = { ["1"] = true, ["true"] = true, yes = true, on = true, ["0"] = false, ["false"] = false, no = false,
    off = false, [""] = false }
  local found = known[tostring(value):lower()]
  if found == nil then
    fail(option, value, origin, table.concat({ "true", "false", table.unpack(option.also or {}) }, " or "))
  end
  return found
end

function CONVERT.integer(option, value, origin)
  local number = math.tointeger(tonumber(value))
  if not number or number < 0 then fail(option, value, origin, "a whole number") end
  return number
end

function CONVERT.duration(option, value, origin)
  if math.type(value) == "integer" and value >= 0 then return value end
  local ok, seconds = pcall(duration.parse, value)
  if not ok or seconds < 0 then fail(option, value, origin, 'a time such as "5s", "250ms" or "2m"') end
  return seconds
end

function CONVERT.choice(option, value, origin)
  for _, choice in ipairs(option.choices) do
    if choice == value then return value end
  end
  fail(option, value, origin, "one of " .. table.concat(option.choices, ", "))
end

local function unknown(key, path)
  local names = {}
  for _, option in ipairs(options.list) do
    if option.file ~= false then names[#names + 1] = option.name end
  end
  local near = suggest.nearest(key, names)
  errors.raise("config", { message = ("unknown setting %q"):format(key), file = path,
    hint = near and ('did you mean "%s"?'):format(near) or nil })
end

---Reads a Lua file that returns a table. It sees `env` and nothing that could do anything.
local function load_project(path, environment)
  local text = fs.read(path)
  local sandbox = { env = setmetatable({}, { __index = environment }), os = { time = os.time }, string = string,
    table = table, math = math, tostring = tostring, tonumber = tonumber, ipairs = ipairs, pairs = pairs }
  local chunk, message = load(text, "@" .. path, "t", sandbox)
  if not chunk then error(errors.wrap(message, "config"), 0) end
  local ok, value = pcall(chunk)
  if not ok then
    local err = errors.wrap(value, "config")
    err.code = "config"
    error(err, 0)
  end
  if type(value) ~= "table" then
    errors.raise("config", { message = "the project file does not return a table", file = path })
  end
  for key in pairs(value) do
    local option = type(key) == "string" and options.by_name[key]
    if not option or option.file == false then unknown(tostring(key), path) end
  end
  return value
end

local Config = {}

function Config.__index(self, key)
  local values = rawget(self, "values")
  if values[key] == nil and not options.by_name[key] then error("no such setting: " .. tostring(key), 2) end
  return values[key]
end

function Config.__newindex(_, key) error("the configuration is frozen: " .. tostring(key), 2) end

local function read_environment(given)
  local environment, path = host.environment(), given.env_file or nil
  path = path or environment.MIGRATOR_ENV_FILE
  local explicit = path ~= nil
  path = path or ".env"
  if not fs.find(path) then
    if explicit then errors.raise("config", { message = "no such file: " .. path, hint = "--env-file names it" }) end
    return environment, nil
  end
  for key, value in pairs(env.parse(fs.read(path), path)) do
    if environment[key] == nil then environment[key] = value end
  end
  return environment, path
end

local function set(self, option, value, origin)
  self.values[option.name] = CONVERT[option.kind](option, value, origin)
  self.origins[option.name] = origin
end

local function find_folder()
  for _, folder in ipairs(FOLDERS) do
    if fs.find(folder .. "/meta/_journal.json") then return folder, "found" end
  end
  return "migrations", "default"
end

---@param given table<string, any> what the command line says
---@return migrator.Config fields by name; `origins`, `environment`, `project`
function M.resolve(given)
  local self = { values = {}, origins = {} }
  local environment, env_file = read_environment(given)
  local path = given.config or environment.MIGRATOR_CONFIG
  if path and not fs.find(path) then
    errors.raise("config", { message = "no such file: " .. path, hint = "--config names it" })
  end
  path = path or (fs.find("migrator.config.lua") and "migrator.config.lua")
  local project = path and load_project(path, environment) or {}
  for _, option in ipairs(options.list) do
    local variable = options.variable(option)
    if option.default ~= nil then set(self, option, option.default, "default") end
    if project[option.name] ~= nil then set(self, option, project[option.name], path) end
    if option.env and environment[option.env] then set(self, option, environment[option.env], option.env) end
    if environment[variable] and environment[variable] ~= "" then set(self, option, environment[variable], variable) end
    if given[option.name] ~= nil then set(self, option, given[option.name], options.flag(option)) end
  end
  if not self.values.dir then self.values.dir, self.origins.dir = find_folder() end
  self.values.environment, self.values.origins = environment, self.origins
  self.values.project, self.values.env_file = path or false, env_file or false
  return setmetatable({ values = self.values }, Config)
end

---The same configuration with some settings from a script: another frozen one.
---@param config migrator.Config
---@param overrides table<string, any>
---@param origin string
---@return migrator.Config
function M.with(config, overrides, origin)
  local values, origins = {}, {}
  for key, value in pairs(rawget(config, "values")) do values[key] = value end
  for key, value in pairs(config.origins) do origins[key] = value end
  values.origins = origins
  for key, value in pairs(overrides) do
    local option = options.by_name[key]
    if not option then error("no such setting: " .. tostring(key), 2) end
    set({ values = values, origins = origins }, option, value, origin)
  end
  return setmetatable({ values = values }, Config)
end

local OURS = { CONFIRM = true, ENV_FILE = true, LUA_PATH = true } -- read elsewhere

---Variables that look like a setting and are none: a slip of the pen would otherwise be a policy that does not hold.
---@param environment table<string, string>
---@return { name: string, near: string }[]
function M.find_misspelt(environment)
  local out, known
  for name in pairs(environment) do
    local word = name:match("^MIGRATOR_([%u_]+)$")
    if word and not OURS[word] and not options.by_name[word:lower()] then
      if not known then
        known, out = {}, {}
        for _, option in ipairs(options.list) do known[#known + 1] = option.name:upper() end
      end
      local near = suggest.nearest(word, known)
      if near then out[#out + 1] = { name = name, near = "MIGRATOR_" .. near } end
    end
  end
  return out or {}
end

---The URL, or an error that says where it was looked for. An empty one is none.
---@param config migrator.Config
---@return string
function M.need_url(config)
  local value = config.url
  if value and value:match("%S") then return value end
  errors.raise("config", { message = "no database: DATABASE_URL is not set",
    hint = "set DATABASE_URL (or pass --url), put it into .env, or use --ephemeral for a throw-away server" })
end

return M
