---Secrets: fetched from where they are kept, and hidden in everything that is printed. A reference is `scheme:rest`;
---each scheme is a function, and scripts add their own.
local errors = require "migrator.error"
local host = require "migrator.core.host"
local lazy = require "migrator.lib.lazy"
local mask = require "migrator.lib.mask"
local url = require "migrator.lib.url"
local ways_in = require "migrator.lib.ways_in"

local ci = lazy.require "migrator.ci"
local suggest = lazy.require "migrator.lib.suggest"

local M = {}

local LIMIT = 65536 + 2 -- of a file: what Google and Vault hold at most, and a line end

---@class migrator.SecretContext
---@field environment table<string, string>
---@field deadline? number
---@field note fun(text: string) a line for people
---@field given table<string, any> what the caller of `secrets.get` said beside the reference

local SCHEMES, OWN = {}, {}

function SCHEMES.env(name, ctx)
  local value = ctx.environment[name]
  if value and value ~= "" then return value end
  local on_github = ctx.environment.GITHUB_ACTIONS == "true"
  errors.raise("config", { message = ("the environment variable %s is %s"):format(name, value and "empty" or "not set"),
    hint = on_github and ("give it to the step: `env: %s: ${{ secrets.%s }}`"):format(name, name)
      or ("set %s in the environment or in .env"):format(name) })
end

function SCHEMES.file(path) return require("migrator.core.fs").read(path, LIMIT) end

-- The URL of a database, with a password in it.
-- What it says goes to who can answer, a person at a terminal. Elsewhere it waits until we know what must not be in it.
local function run_command(cmd, ctx)
  local attended = host.terminal("stderr") ~= nil
  local result = require("migrator.core.process").run { cmd = cmd, stdout = "capture",
    stderr = attended and "inherit" or "capture", env = ways_in.withheld(ctx.environment), deadline = ctx.deadline }
  if (result.stdout or ""):find("%S") then M.hush(result.stdout) end
  for line in (result.stderr or ""):gmatch("[^\r\n]+") do ctx.note(cmd[1] .. ": " .. line) end
  return result
end

function SCHEMES.cmd(line, ctx)
  local cmd = {}
  for word in line:gmatch("%S+") do cmd[#cmd + 1] = word end
  if #cmd == 0 then errors.raise("config", { message = "cmd: names no program", hint = "cmd:PROGRAM ARGUMENTS…" }) end
  local result = run_command(cmd, ctx)
  if result.code ~= 0 then
    errors.raise("config", { message = ("%s exited with %s"):format(cmd[1], result.code
      or ("signal " .. tostring(result.signal))) })
  end
  return result.stdout
end

function SCHEMES.sm(rest, ctx) return require("migrator.secrets.sm")(rest, ctx) end

function SCHEMES.vault(rest, ctx) return require("migrator.secrets.vault")(rest, ctx) end

local function names()
  local out = {}
  for name in pairs(SCHEMES) do out[#out + 1] = name end
  table.sort(out)
  return out
end

---Adds a scheme, so that `secrets.get "name:…"` and `steps.secret { from = "name:…" }` ask this function. One that is
---there already is replaced, but not those that come with the program.
---@param name string
---@param fetch fun(rest: string, ctx: migrator.SecretContext): string, string?
function M.scheme(name, fetch)
  if type(name) ~= "string" or not name:find("^%l[%l%d_-]*$") then
    error("bad argument #1 to 'secrets.scheme' (a word in lower case expected)", 2)
  end
  if type(fetch) ~= "function" then
    error(("bad argument #2 to 'secrets.scheme' (function expected, got %s)"):format(type(fetch)), 2)
  end
  if SCHEMES[name] and not OWN[name] then
    errors.raise("script", { message = ("secrets.scheme: %q comes with the program"):format(name) })
  end
  SCHEMES[name], OWN[name] = fetch, true
end

---The scheme and the rest of a reference, or nil and what is wrong with it. Nothing is fetched. A reference may itself
---be a secret that stands in the wrong place, so no message quotes more than its scheme.
---@param reference string
---@return string? scheme
---@return string rest or the reason
---@return string? hint
function M.parse(reference)
  if reference:find("^projects/") then return "sm", reference end
  local scheme, rest = reference:match("^(%l[%l%d_-]*):(.+)$")
  if not scheme then return nil, "a secret is named as scheme:rest", "env:NAME, file:PATH, sm://PROJECT/NAME, …" end
  if SCHEMES[scheme] then return scheme, (rest:gsub("^//", "")) end
  return nil, ("there is no scheme %q for secrets"):format(scheme), suggest.hint(scheme, names())
    or "there is: " .. table.concat(names(), ", ")
end

---Every text in a URL or conninfo string that may be its password: as it is written and as it is meant. A malformed
---one may have been cut anywhere, and its parts are what an error names.
local function passwords_of(text)
  local out, ok, words = {}, pcall(url.conninfo, text)
  if ok then
    out = { words.password, words.sslpassword, text:match("^%s*%a[%w+.-]*://[^/?#@:]*:([^/?#@]+)@") }
  elseif text:find("://", 1, true) then
    local raw = text:match("://[^:@/]*:(.*)@") or text:match("://[^:@/]*:(.*)/") or text:match("://[^:@/]*:(.*)$")
    for _, value in ipairs { raw or "", text:match("[?&]password=([^&]*)") or "" } do
      out[#out + 1] = value
      for part in value:gmatch("[^@:/?#&=]+") do out[#out + 1] = part end
    end
  else
    out = { text, text:match("password%s*=%s*'([^']*)") or text:match("password%s*=%s*([^%s']+)") }
  end
  return out
end

---Hides a secret in all that is printed from now on, on GitHub by its runner as well: as it is, each of its lines, its
---encoded forms, and the password alone when it is a URL.
---@param value string
function M.hush(value)
  host.seal()
  ci.mask(value)
  for _, password in pairs(passwords_of(value)) do ci.mask(password) end
end

local function make_context(ctx)
  ctx = ctx or {}
  return { environment = ctx.environment or host.environment(), deadline = ctx.deadline,
    note = ctx.note or function() end, given = ctx.given or {} }
end

---Fetches a secret, and hides it.
---Raises `script` for a reference that is none, what the scheme raises, and `config` when the secret is empty.
---@param reference string
---@param ctx? table environment, deadline, note, given
---@return string value without the line end that editors and `echo` put behind it
---@return { from: string, version?: string } info
function M.get(reference, ctx)
  if type(reference) ~= "string" then error("bad argument #1 to 'secrets.get' (string expected)", 2) end
  local scheme, rest, hint = M.parse(reference)
  if not scheme then errors.raise("script", { message = "secrets: " .. rest, hint = hint }) end
  ctx = make_context(ctx)
  local value, version = SCHEMES[scheme](rest, ctx)
  if type(value) ~= "string" then
    errors.raise("script", { message = ("the scheme %q gave a %s, not a string"):format(scheme, type(value)) })
  end
  local name = scheme == "cmd" and "cmd:" .. rest:match("%S+") or reference
  if not value:find("%S") then
    errors.raise("config", { message = ("the secret %s is %s"):format(name, value == "" and "empty" or "blank") })
  end
  local bare = value:gsub("\r?\n$", ""):gsub("\r$", "")
  M.hush(bare)
  if bare ~= value then ctx.note("a newline at its end was taken off") end
  value = bare
  if #value < mask.SHORTEST then
    ctx.note(("shorter than %d characters, so it cannot be hidden in the log"):format(mask.SHORTEST))
  end
  return value, { from = name, version = version and tostring(version) or nil }
end

---Hides the password of a URL or conninfo text.
---@param text string|nil
function M.hide_url(text)
  if type(text) ~= "string" then return end
  for _, password in pairs(passwords_of(text)) do
    host.seal()
    mask.add(password)
  end
end

---Hides what the settings and the environment know of databases, from the start.
---@param config migrator.Config
function M.hide(config)
  M.hide_url(config.url)
  for _, value in pairs(config.environment) do
    if ways_in.is(value) then M.hide_url(value) end
  end
  M.hide_url(config.environment.DATABASE_URL)
  local password = config.environment.PGPASSWORD
  if password and password ~= "" then
    host.seal()
    mask.add(password)
  end
end

return M
