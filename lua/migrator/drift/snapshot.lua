---The expected catalogue in a file, for where no server can be started.
local cjson = require "cjson"
local encode = require("migrator.sink").encode
local array = require("migrator.sink").array
local errors = require "migrator.error"
local fs = require "migrator.core.fs"

local M = {}

local FORMAT = 1

---@param path string
---@param catalog migrator.Catalog
---@param tags string[] migrations that made it
function M.write(path, catalog, tags)
  local lines = {}
  for i, object in ipairs(catalog.objects) do lines[i] = encode(object) end
  local head = encode { format = FORMAT, version = catalog.version, version_number = catalog.version_number,
    grants = catalog.grants, comments = catalog.comments, migrations = array(tags) }
  -- A line for each object: the file is to be read in a review.
  fs.write(path, ("%s,\"objects\":[\n%s\n]}\n"):format(head:sub(1, -2), table.concat(lines, ",\n")))
end

local function is_object(value)
  return type(value) == "table" and type(value.kind) == "string" and type(value.name) == "string"
    and type(value.definition) == "string" and (value.parent == nil or type(value.parent) == "string")
end

local function complaint(value)
  if type(value) ~= "table" or type(value.objects) ~= "table" then return "it has no list `objects`" end
  if value.format ~= nil and value.format ~= FORMAT then
    return ("its format is %s, and %d is the one that is known"):format(tostring(value.format), FORMAT)
  end
  if value.migrations ~= nil and type(value.migrations) ~= "table" then return "its `migrations` are no list" end
  for i, object in ipairs(value.objects) do
    if not is_object(object) then return ("its object %d lacks kind, name or definition"):format(i) end
  end
end

---Reads what `write` wrote, or `json.encode(db.catalog())`. Raises `config` for what is none.
---@param path string
---@return migrator.Catalog
---@return string[]|nil tags
function M.read(path)
  if not fs.find(path) then
    errors.raise("config", { message = "no such file: " .. path, hint = "--against names it" })
  end
  local ok, value = pcall(cjson.decode, fs.read(path))
  local why = not ok and "it is not JSON" or complaint(value)
  if why then
    errors.raise("config", { message = "not a snapshot of a catalogue: " .. why, file = path,
      hint = "`migrator drift --snapshot FILE` writes one" })
  end
  value.version_number = math.tointeger(value.version_number)
  return value, value.migrations
end

return M
