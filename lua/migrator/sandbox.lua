---The environment of somebody else's Lua: the safe part of the standard library, the engine's modules, `require` for
---files beside the script. Nothing in it can end the process behind our back or swallow an interrupt.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"

local M = {}

local SAFE = { "assert", "error", "getmetatable", "setmetatable", "ipairs", "pairs", "next", "rawequal", "rawget",
  "rawlen",
  "rawset", "select", "tonumber", "tostring", "type", "_VERSION" }

-- What a user's code may catch is what it could have caused; the end of the run is not among it.
local function must_pass(err)
  return errors.is(err, "interrupted")
    or (errors.is(err, "script") and err.message:find("deadline passed", 1, true) ~= nil)
    or (errors.is(err, "timeout") and err.message:find("the run's deadline passed", 1, true) ~= nil)
end

local function safe_pcall(fn, ...)
  local result = table.pack(pcall(fn, ...))
  if not result[1] and must_pass(result[2]) then error(result[2], 0) end
  return table.unpack(result, 1, result.n)
end

local function safe_xpcall(fn, handler, ...)
  local result = table.pack(xpcall(fn, function(err)
    if must_pass(err) then return err end
    return handler(err)
  end, ...))
  if not result[1] and must_pass(result[2]) then error(result[2], 0) end
  return table.unpack(result, 1, result.n)
end

local function copy(from)
  local to = {}
  for key, value in pairs(from) do to[key] = value end
  return to
end

local function no_exit()
  errors.raise("script", { message = "os.exit is not available in a script: undo steps and the report would not run",
    hint = "return from the script, or raise with error()" })
end

local function make_os(unsafe)
  local out = unsafe and copy(os) or { time = os.time, date = os.date, clock = os.clock, difftime = os.difftime }
  out.exit = no_exit
  return out
end

---`require "name"` finds name.lua or name/init.lua in the script's folder, runs it once in the same environment.
local function make_require(folder, env)
  local loaded = {}
  return function(name)
    if type(name) ~= "string" then error("bad argument #1 to 'require' (string expected)", 2) end
    if loaded[name] ~= nil then return loaded[name] end
    local file = name:gsub("%.", "/")
    for _, path in ipairs { folder .. "/" .. file .. ".lua", folder .. "/" .. file .. "/init.lua" } do
      if fs.find(path) then
        local value = M.load(path, env)(name, path)
        loaded[name] = value == nil and true or value
        return loaded[name]
      end
    end
    error(("module '%s' not found in %s (require sees the script's own folder)"):format(name, folder), 2)
  end
end

---@param globals table<string, any> what the script sees besides the standard library
---@param opts? { folder?: string, unsafe?: boolean, print?: fun(text: string) }
---@return table env
function M.new(globals, opts)
  opts = opts or {}
  local env = {}
  for _, name in ipairs(SAFE) do env[name] = _G[name] end
  env.string, env.table, env.math, env.utf8, env.coroutine = copy(string), copy(table), copy(math), copy(utf8),
    copy(coroutine)
  env.pcall, env.xpcall = safe_pcall, safe_xpcall
  env.os = make_os(opts.unsafe)
  if opts.unsafe then env.io, env.debug = io, debug end
  env.load = function(chunk, name, _, custom) return load(chunk, name, "t", custom or env) end
  env.print = function(...)
    local out = table.pack(...)
    for i = 1, out.n do out[i] = tostring(out[i]) end
    local text = table.concat(out, "\t")
    if opts.print then opts.print(text) else print(text) end
  end
  for name, value in pairs(globals) do env[name] = value end
  env.require = make_require(opts.folder or ".", env)
  env._G = env
  return env
end

---Compiles a file as text; a syntax error is `script` with file and line.
---@param path string
---@param env table
---@return function
function M.load(path, env)
  local text = fs.read(path):gsub("^#[^\n]*", "")
  local chunk, message = load(text, "@" .. path, "t", env)
  if chunk then return chunk end
  error(errors.wrap(message, "script"), 0)
end

return M
