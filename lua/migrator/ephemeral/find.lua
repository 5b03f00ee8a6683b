---Finds an installed PostgreSQL server, the user it may run as, and the place where its template is kept.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local process = require "migrator.core.process"

local M = {}

local HINT = "install one (apt-get install postgresql, dnf install postgresql-server), "
  .. "or name its programs' folder in PG_BINDIR"

local function has_server(dir)
  return dir ~= nil and dir ~= "" and fs.find(dir .. "/postgres") ~= nil and fs.find(dir .. "/initdb") ~= nil
end

local function output_of(...)
  local ran = process.run { cmd = { ... } }
  return ran.code == 0 and ran.stdout:match("^(.-)%s*$") or nil
end

local function from_pg_config()
  return process.find("pg_config") and output_of("pg_config", "--bindir")
end

local function number_of(name)
  local major, minor = name:match("(%d+)%.?(%d*)")
  return major and tonumber(major) * 1000 + (tonumber(minor) or 0) or -1
end

-- The newest of folders like /usr/lib/postgresql/15/bin and /usr/pgsql-16/bin.
local function newest(parent, prefix)
  local best, best_number
  for _, name in ipairs(fs.find(parent) and fs.list(parent) or {}) do
    local dir = ("%s/%s/bin"):format(parent, name)
    local number = name:sub(1, #prefix) == prefix and number_of(name) or -1
    if number >= 0 and (not best or number > best_number) and has_server(dir) then best, best_number = dir, number end
  end
  return best
end

local function from_path()
  local program = process.find("postgres")
  return program and program:match("^(.*)/")
end

---The folder of the server's programs. Raises `config` when there is none.
---@param asked? string a folder to take instead of looking
---@return string
function M.programs(asked)
  local variable = host.environment().PG_BINDIR
  local explicit = asked or (variable ~= "" and variable) or nil
  if explicit then
    if has_server(explicit) then return explicit end
    errors.raise("config",
      { message = ("no PostgreSQL server in %s: postgres and initdb must be there"):format(explicit),
      hint = asked and HINT or "PG_BINDIR names it" })
  end
  local looks = { from_pg_config, function() return newest("/usr/lib/postgresql", "") end,
    function() return newest("/usr", "pgsql-") end, from_path }
  for _, look in ipairs(looks) do
    local dir = look()
    if has_server(dir) then return dir end
  end
  errors.raise("config", { message = "no PostgreSQL server is installed here", hint = HINT })
end

---@return string version such as "15.20"
function M.version(programs)
  local text = output_of(programs .. "/postgres", "--version")
  local version = text and text:match("(%d+[%w.]*)")
  if version then return version end
  errors.raise("config", { message = programs .. "/postgres does not tell its version", hint = HINT })
end

-- A server refuses to run as root.
---@return string? user nil: as ourselves
function M.user()
  if process.user().uid ~= 0 then return nil end
  for _, name in ipairs { "postgres", "nobody" } do
    if output_of("id", "-u", name) then return name end
  end
  errors.raise("config", { message = "no user to run PostgreSQL as: it refuses to run as root",
    hint = "add a user named postgres, or do not run as root" })
end

local function shared_cache(user)
  local folder = "/var/cache/migrator/" .. user
  if fs.find(folder) then return folder end
  local uid, gid = tonumber(output_of("id", "-u", user)), tonumber(output_of("id", "-g", user))
  local made = pcall(function()
    fs.mkdir("/var/cache/migrator", 493) -- 0755: it is the one below that is private
    fs.mkdir(folder, 448) -- 0700
    fs.chown(folder, math.tointeger(uid), math.tointeger(gid))
  end)
  return made and folder or ""
end

---The folder for templates, which need not be there yet. Whether it can be trusted is for boot.lua to see.
---@param user? string
---@return string folder "" when there is no good place
function M.cache(user)
  if user then return shared_cache(user) end
  local environment = host.environment()
  local xdg, home = environment.XDG_CACHE_HOME or "", environment.HOME or ""
  if xdg:find("^/") then return xdg .. "/migrator" end
  if home:find("^/") and fs.find(home) then return home .. "/.cache/migrator" end
  return ""
end

return M
