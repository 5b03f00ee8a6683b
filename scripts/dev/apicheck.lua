-- The stubs of lua/meta against what is really there, both ways: functions, methods, globals, options, error codes.
-- Then the tables of options and commands against the docs. Each difference is named; any makes the check fail.
local commands = require "migrator.commands"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local options = require "migrator.options"
local prelude = require "migrator.prelude"
local stubs = require "stubs"

local problems = {}

local function report(format, ...) problems[#problems + 1] = format:format(...) end

local function keys(map)
  local out = {}
  for key in pairs(map) do out[#out + 1] = key end
  table.sort(out, function(a, b) return tostring(a) < tostring(b) end)
  return out
end

local function upvalue(fn, wanted)
  for i = 1, 255 do
    local name, value = debug.getupvalue(fn, i)
    if not name then return nil end
    if name == wanted then return value end
  end
end

-- Names that start with two underscores are Lua's, not for callers.
local function is_public(name) return type(name) == "string" and name:sub(1, 2) ~= "__" end

local function compare(what, path, declared, real, fields)
  if type(real) ~= "table" then return report("%s: %s is not there to compare with", path, what) end
  for _, name in ipairs(keys(declared)) do
    if rawget(real, name) == nil then
      report("%s: %s.%s is in the stub, but not registered", path, what, name)
    elseif type(declared[name]) == "function" and type(rawget(real, name)) ~= "function" then
      report("%s: %s.%s is a function in the stub, but a %s", path, what, name, type(rawget(real, name)))
    end
  end
  for _, name in ipairs(keys(real)) do
    if is_public(name) and declared[name] == nil and not (fields and fields[name]) then
      report("%s: %s.%s is registered, but not in the stub", path, what, name)
    end
  end
end

local function field_set(class)
  local out = {}
  for _, field in ipairs(class and class.fields or {}) do out[field.name] = true end
  return out
end

local registry = debug.getregistry()

-- The object types: C metatables by name, Lua ones by the variable that holds them.
local TYPES = {
  ["migrator.conn"] = function() return registry["migrator.conn"].__index end,
  ["migrator.batch"] = function() return registry["migrator.batch"].__index end,
  ["migrator.later"] = function() return registry["migrator.later"].__index end,
  ["migrator.answers"] = function() return registry["migrator.answers"].__index end,
  ["migrator.copy_in"] = function() return registry["migrator.copy_in"].__index end,
  ["migrator.copy_out"] = function() return registry["migrator.copy_out"].__index end,
  ["migrator.folder"] = function() return registry["migrator.folder"].__index end,
  ["migrator.process"] = function() return registry["migrator.process"].__index end,
  ["migrator.Proxy"] = function() return upvalue(require("migrator.proxy").start, "Proxy") end,
  ["migrator.Context"] = function() return upvalue(require("migrator.pipeline").run, "Context") end,
  ["migrator.Journal"] = function() return upvalue(require("migrator.journal.drizzle").read, "Journal") end,
  ["migrator.Entry"] = function()
    local read = upvalue(require("migrator.journal.drizzle").read, "read_entries")
    return upvalue(upvalue(read, "entry_type"), "Entry")
  end,
  ["migrator.Seed"] = function()
    return require("migrator.seed.api").new { conn = {}, counts = {}, environment = { name = "test" },
      tier = { name = "tier", folder = ".", truncates = {} }, config = { environment = {} } }
  end,
  ["migrator.GcpSource"] = function() return require("migrator.gcp.token").Source end,
  ["policy.lock"] = function() return require "migrator.policy.lock" end,
  ["policy.retry"] = function() return require "migrator.policy.retry" end,
  ["policy.victims"] = function() return require "migrator.policy.victims" end,
  ["policy.verify"] = function() return require "migrator.policy.verify" end,
}

-- Modules that scripts do not see, but that have a stub all the same.
local CORE = { "core.clock", "core.db", "core.fs", "core.hash", "core.host", "core.http", "core.process", "core.sql" }

local function find_upvalue_table(module, fn, name) return upvalue(require(module)[fn], name) end

-- Tables of option names in the code, and the class of the stubs that lists the same.
local OPTION_TABLES = {
  ["migrator.ProxyOptions"] = function() return find_upvalue_table("migrator.proxy", "start", "OPTIONS") end,
  ["migrator.ProxyReady"] = function() return find_upvalue_table("migrator.proxy", "start", "READY_OPTIONS") end,
  ["migrator.RewriteOptions"] = function()
    return upvalue(find_upvalue_table("migrator.lib.url", "rewrite", "check_options"), "OPTIONS")
  end,
  ["migrator.ChangedOptions"] = function()
    return upvalue(find_upvalue_table("migrator.changes", "detect", "check_options"), "OPTIONS")
  end,
  ["migrator.TierDeclaration"] = function() return find_upvalue_table("migrator.seed.declare", "read", "KINDS") end,
  ["migrator.TierTable"] = function() return find_upvalue_table("migrator.seed.declare", "read", "TABLE_KEYS") end,
  ["migrator.Upsert"] = function()
    local known = { rows = "any" }
    for name, kind in pairs(find_upvalue_table("migrator.seed.load", "upsert", "UPSERT") or {}) do
      known[name] = kind
    end
    return known
  end,
  ["migrator.GcpOptions"] = function() return find_upvalue_table("migrator.gcp", "check", "OPTIONS") end,
  ["migrator.PolicyOptions"] = function() return find_upvalue_table("migrator.rls", "replace_policy", "POLICY") end,
  ["migrator.TenantOptions"] = function() return find_upvalue_table("migrator.rls", "tenant_policies", "TENANT") end,
  ["migrator.AuditOptions"] = function() return find_upvalue_table("migrator.rls", "audit", "OPTIONS") end,
  ["migrator.Step"] = function() return upvalue(find_upvalue_table("migrator.pipeline", "make", "to_step"), "KEYS") end,
}
for _, name in ipairs { "detect", "auth", "secret", "wait", "migrate", "repeatable", "rls_audit", "alembic",
  "verify", "seed", "run", "preflight", "gate", "http", "drift", "promote", "reset" } do
  local class = "migrator." .. ("_" .. name):gsub("_(%l)", string.upper) .. "Step"
  OPTION_TABLES[class] = function() return find_upvalue_table("migrator.steps", name, "KNOWN") end
end

for class, name in pairs { ProxyCommon = "KNOWN", ProxyStep = "WITH_COMMAND", ProxyPresetStep = "WITH_PRESET" } do
  OPTION_TABLES["migrator." .. class] = function() return find_upvalue_table("migrator.steps", "proxy", name) end
end
for _, name in ipairs(require("migrator.proxies").NAMES) do
  local class = "migrator." .. ("_" .. name):gsub("_(%l)", string.upper) .. "ProxyStep"
  OPTION_TABLES[class] = function() return require("migrator.proxies").get(name).options end
end

local function check_options(classes)
  for _, name in ipairs(keys(OPTION_TABLES)) do
    local real, declared = OPTION_TABLES[name](), field_set(classes[name])
    if not real then
      report("apicheck: the code's option table for %s was not found", name)
    else
      local list = #real > 0 and real or keys(real)
      local known = {}
      for _, option in ipairs(list) do
        known[option] = true
        if not declared[option] then report("lua/meta: %s lacks the field %s, which the code takes", name, option) end
      end
      for _, option in ipairs(keys(declared)) do
        if not known[option] then report("lua/meta: %s has the field %s, which the code refuses", name, option) end
      end
    end
  end
end

local function check_docs(stub)
  for _, item in ipairs(stub.functions) do
    if not (item.doc[1] or ""):find("%S.*%.$") and not table.concat(item.doc, " "):find("%.%f[%s%z]") then
      report("%s:%d: %s has no sentence that says what it does", stub.path, item.line, item.path)
    end
    if #item.example > 6 then
      report("%s:%d: the example of %s has more than six lines", stub.path, item.line, item.path)
    end
    local named, wanted = {}, {}
    for _, param in ipairs(item.params) do named[param.name] = true end
    for name in item.args:gmatch("[%w_.]+") do
      wanted[name] = true
      if not named[name] then report("%s:%d: %s does not say what %s is", stub.path, item.line, item.path, name) end
    end
    for name in pairs(named) do
      if not wanted[name] then report("%s:%d: %s has no parameter %s", stub.path, item.line, item.path, name) end
    end
    if #item.example > 0 then
      local text = table.concat(item.example, "\n")
      if not load(text, "example") and not load("return " .. text, "example") then
        report("%s:%d: the example of %s is not Lua", stub.path, item.line, item.path)
      end
    end
  end
end

local function check_codes(all)
  local declared = {}
  for _, stub in ipairs(all) do
    for _, alias in ipairs(stub.aliases) do
      if alias.name == "migrator.ErrorCode" then
        for _, value in ipairs(alias.values) do declared[value.value:gsub('"', "")] = true end
      end
    end
  end
  for _, code in ipairs(keys(errors.EXIT)) do
    if not declared[code] then report("lua/meta/error.lua: the code %s is missing", code) end
  end
  for _, code in ipairs(keys(declared)) do
    if not errors.EXIT[code] then report("lua/meta/error.lua: there is no code %s", code) end
  end
end

local function check_globals(all, by_name, classes)
  local real = prelude.globals(require("migrator.config").resolve { url = "" }, require("migrator.sink").new {}, {})
  local _, _, declared = stubs.run "lua/meta/globals.lua"
  declared.pipeline = function() end
  compare("globals", "lua/meta/globals.lua", declared, real)
  for _, name in ipairs(keys(real)) do
    local stub = by_name[name]
    if type(real[name]) == "table" and name ~= "arg" then
      if stub then
        local value = stubs.run(stub.path)
        compare(name, stub.path, value, real[name], field_set(classes["migrator." .. name]))
      else
        report("lua/meta: there is no stub for the global %s", name)
      end
    end
  end
  for _, stub in ipairs(all) do
    local _, types = stubs.run(stub.path)
    for _, name in ipairs(keys(types)) do
      if not TYPES[name] then report("%s: apicheck knows no type %s", stub.path, name) end
      if TYPES[name] then
        compare(name, stub.path, types[name], TYPES[name](), field_set(classes[name] or classes["migrator." .. name]))
      end
      TYPES[name] = nil
    end
  end
  for _, name in ipairs(keys(TYPES)) do report("lua/meta: no stub has the methods of %s", name) end
end

local function check_core(all, classes)
  local by_module = {}
  for _, stub in ipairs(all) do by_module[stub.module] = stub end
  for _, name in ipairs(CORE) do
    local stub = by_module["migrator." .. name]
    if stub then
      local class = classes["migrator." .. name] or classes["migrator." .. name:gsub("^core%.", "")]
      compare(name, stub.path, (stubs.run(stub.path)), require("migrator." .. name), field_set(class))
    else
      report("lua/meta: there is no stub for %s", name)
    end
  end
end

-- Only what is in the tables of options and commands may be documented, and all of it must be.
local function check_manual()
  local manual = fs.find "docs/commands.md" and fs.read "docs/commands.md" or ""
  local readme = fs.find "README.md" and fs.read "README.md" or ""
  local flags = { help = true, version = true }
  for _, option in ipairs(options.list) do
    local name = option.cli == false and option.name or options.flag(option)
    flags[option.name:gsub("_", "-")] = true
    if not manual:find("`" .. name, 1, true) then report("docs/commands.md: %s is not mentioned (make docs)", name) end
  end
  for _, command in ipairs(commands.list) do
    for _, option in ipairs(command.options or {}) do flags[option.name:gsub("_", "-")] = true end
    if not command.hidden and not manual:find("\n## " .. command.name .. "\n", 1, true) then
      report("docs/commands.md: the command %s is not mentioned (make docs)", command.name)
    end
  end
  for line in readme:gmatch("[^\n]+") do
    for flag in line:gmatch("migrator[^`|]-%s%-%-([%l-]+)") do
      if not flags[flag] then report("README.md: migrator has no option --%s", flag) end
    end
    local command = line:match("^%s*%$?%s*migrator (%l+)%f[%s%z]")
    if command and not commands.by_name[command] then report("README.md: migrator has no command %s", command) end
  end
end

local all = stubs.all()
local by_name = {}
for _, stub in ipairs(all) do by_name[stub.name] = stub end
local classes = stubs.classes(all)
check_globals(all, by_name, classes)
check_core(all, classes)
check_options(classes)
check_codes(all)
for _, stub in ipairs(all) do check_docs(stub) end
check_manual()

for _, problem in ipairs(problems) do io.stdout:write(problem, "\n") end
if #problems > 0 then
  io.stdout:write(("apicheck: %d difference%s\n"):format(#problems, #problems == 1 and "" or "s"))
  return 1
end
return 0
