---migrator types: the editor stubs that are inside this binary, and a .luarc.json that names their folder. What the
---editor completes then matches the version in use.
local cjson = require "cjson"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"

local M = {}

M.FOLDER = ".migrator/types"

local SETTINGS = ".luarc.json"
local NEW_SETTINGS = [[
{
  "runtime.version": "Lua 5.4",
  "workspace.library": [%s]
}
]]

local function stubs()
  local out = {}
  for _, path in ipairs(host.files()) do
    local name = path:match("^lua/meta/(.+%.lua)$")
    if name then out[#out + 1] = { name = name, text = host.file(path) } end
  end
  return out
end

local function is_stub(path)
  return fs.read(path):find("^%-%-%-@meta") ~= nil
end

---Writes the stubs into a folder; earlier ones are replaced, anything else is left alone.
---@return string[] paths
function M.write(folder)
  local list, paths = stubs(), {}
  for _, stub in ipairs(list) do
    local path = folder .. "/" .. stub.name
    if fs.find(path) and not is_stub(path) then
      errors.raise("usage", { message = ("%s is not an editor stub: not overwritten"):format(path),
        hint = "name another folder: `migrator types FOLDER`" })
    end
  end
  for i, stub in ipairs(list) do
    paths[i] = folder .. "/" .. stub.name
    fs.mkdir(paths[i]:match("^(.*)/"))
    fs.write(paths[i], stub.text)
  end
  return paths
end

local function refuse(path, reason, folder)
  errors.raise("config", { message = ("%s was left as it is: %s"):format(path, reason), file = path,
    hint = ('add %s to its "workspace.library" by hand'):format(cjson.encode(folder):gsub("\\/", "/")) })
end

-- Where the editor looks: the flat key, the nested one, or the one of VS Code's own settings.
local function libraries(settings)
  local nested = type(settings.workspace) == "table" and settings.workspace.library or nil
  return settings["workspace.library"] or nested or settings["Lua.workspace.library"]
end

local function names_folder(settings, folder)
  local list = libraries(settings)
  if type(list) ~= "table" then return false end
  for key, value in pairs(list) do
    if value == folder or key == folder then return true end
  end
  return false
end

-- The text is edited, not printed anew: order, layout and what an empty table was (a list or an object) stay.
local function with_folder(text, settings, folder)
  local quoted = cjson.encode(folder):gsub("\\/", "/")
  local list = libraries(settings)
  local from, to
  if list == nil then
    local bare = next(settings) == nil
    from, to = "{", ('{\n  "workspace.library": [%s]%s'):format(quoted, bare and "\n" or ",")
  elseif type(list) == "table" then
    from, to = 'library"%s*:%s*%[', quoted .. (next(list) == nil and "" or ", ")
  else
    return nil
  end
  local first, last = text:find(from)
  if not first or (list ~= nil and text:find(from, last)) then return nil end
  if list ~= nil then to = text:sub(first, last) .. to end
  return text:sub(1, first - 1) .. to .. text:sub(last + 1)
end

---Makes .luarc.json, or adds the folder to the one that is there. Raises `config` when that one cannot be read.
---@param path string
---@param folder string as the editor shall see it
---@return "made"|"added"|"kept"
function M.settings(path, folder)
  if not fs.find(path) then
    fs.write(path, NEW_SETTINGS:format((cjson.encode(folder):gsub("\\/", "/"))))
    return "made"
  end
  local text = fs.read(path)
  local ok, settings = pcall(cjson.decode, text)
  if not ok or type(settings) ~= "table" then refuse(path, "it is not plain JSON (comments?)", folder) end
  if names_folder(settings, folder) then return "kept" end
  local merged = with_folder(text, settings, folder)
  local fine, again = pcall(cjson.decode, merged or "")
  if not fine or not names_folder(again, folder) then
    refuse(path, "it names its libraries in a way not known here", folder)
  end
  fs.write(path, merged)
  return "added"
end

---@param _ migrator.Config
---@param sink migrator.Sink
---@param args { folder?: string }
function M.run(_, sink, args)
  local folder = (args.folder or M.FOLDER):gsub("^%./", ""):gsub("(.)/+$", "%1")
  local paths = M.write(folder)
  local settings = M.settings(SETTINGS, folder)
  sink:line(("%d editor stubs in %s; %s %s"):format(#paths, folder, SETTINGS,
    settings == "kept" and "names it already" or settings == "made" and "is new" or "names it now"))
  return 0
end

return M
