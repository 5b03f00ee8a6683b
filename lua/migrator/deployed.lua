---Which versions of the code run now, each as the tag of the newest migration that it knows: from a tag, a file, an
---address, a table, or a function of the script. Several may run side by side; the oldest counts.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local gate = require "migrator.seed.gate"
local http = require "migrator.core.http"
local sql = require "migrator.core.sql"

local M = {}

local SECONDS = 10
local FORMS = "a tag, file:PATH, table:TABLE.COLUMN, or an address such as https://app/version#migration"

local function lines(text)
  local out = {}
  for word in text:gmatch("%S+") do out[#out + 1] = word end
  return out
end

---The value under a name such as `build.migration` of a JSON text.
local function pick(text, path, origin)
  local ok, value = pcall(cjson.decode, text)
  for key in path:gmatch("[^.]+") do value = ok and type(value) == "table" and value[key] or nil end
  if not ok or type(value) ~= "string" then
    errors.raise("config", { message = ("%s: the answer has no text under %q"):format(origin, path) })
  end
  return value
end

local READERS = {}

function READERS.file(path, _, _, origin)
  if not fs.find(path) then errors.raise("config", { message = origin .. ": there is no such file" }) end
  return lines(fs.read(path, 65536))
end

READERS["table"] = function(name, session, _, origin)
  local parts = {}
  for part in name:gmatch("[^.]+") do parts[#parts + 1] = sql.quote_ident(part) end
  if #parts < 2 or #parts > 3 then
    errors.raise("config", { message = origin .. " is not TABLE.COLUMN or SCHEMA.TABLE.COLUMN" })
  end
  local column, out = table.remove(parts), {}
  for i, row in ipairs(session.conn:exec(("select distinct %s::text as tag from %s where %s is not null order by 1")
    :format(column, table.concat(parts, "."), column))) do
    out[i] = row.tag
  end
  return out
end

local function read_url(url, deadline, origin)
  local address, path = url:match("^([^#]*)#?(.*)$")
  local limit = math.min(clock.deadline(SECONDS), deadline or math.huge)
  local answer = http.request { url = address, deadline = limit, follow = true }
  if answer.status ~= 200 then
    errors.raise("http", { message = ("%s answered with status %d"):format(origin, answer.status) })
  end
  return path ~= "" and { pick(answer.body, path, origin) } or lines(answer.body)
end

---What is said of an address leaves out what may be a secret: user, password and query.
---@param url string
---@return string
function M.show(url) return (url:gsub("^(%a+://)[^/?#]*@", "%1"):gsub("%?[^#]*", "?…")) end

local function read(config, session, deadline)
  local text, origin = config.deployed, "deployed (" .. config.origins.deployed .. ")"
  if text:find("^https?://") then
    origin = M.show(text)
    return read_url(text, deadline, origin), origin
  end
  local kind, rest = text:match("^(%l+):(.*)$")
  if not kind then return { text }, origin end
  if not READERS[kind] then
    errors.raise("config", { message = ("%s: %q is not %s"):format(origin, text, FORMS) })
  end
  return READERS[kind](rest, session, deadline, text), text
end

local function call(fn)
  local value = fn()
  if type(value) == "string" then value = { value } end
  if value ~= nil and type(value) ~= "table" then
    errors.raise("script", { message = "steps.migrate: deployed must return a tag or a list of them, not a "
      .. type(value) })
  end
  for i = 1, #(value or {}) do -- a hole is a version that somebody did not find out
    if type(value[i]) ~= "string" then
      errors.raise("script", { message = ("steps.migrate: deployed: item %d of the list is a %s, not a tag"):format(i,
        type(value[i])) })
    end
  end
  return value or {}, "the script's `deployed`"
end

---Where nobody says what is deployed, only a database of a developer or of tests is let through.
---@param config migrator.Config
---@param fn? fun(): string|string[]|nil
---@param session migrator.Session
---@return string[]|nil versions, string origin
function M.ask(config, fn, session, deadline)
  if fn then return call(fn) end
  if config.deployed then return read(config, session, deadline) end
  local environment = gate.environment(config)
  if environment.name == "development" or environment.name == "test" then return nil, environment.why end
  return {}, ("nobody (%s)"):format(environment.value and environment.variable .. "=" .. environment.value
    or environment.why)
end

return M
