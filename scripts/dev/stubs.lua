-- Reads the LuaCATS stubs of lua/meta: as text for the docs, and run, for the names that they declare.
local fs = require "migrator.core.fs"

local M = {}

local FOLDER = "lua/meta"

local function read_field(line)
  local name, rest = line:match("^%-%-%-@field (%b[])%s+(.*)$")
  if not name then name, rest = line:match("^%-%-%-@field (%S+)%s+(.*)$") end
  return { name = (name:gsub("%?$", "")), optional = name:sub(-1) == "?", rest = rest }
end

-- A type ends at the first blank that neither a bracket nor a quote encloses.
function M.split_type(text)
  local depth, quoted = 0, false
  for i = 1, #text do
    local c = text:sub(i, i)
    if c == '"' then quoted = not quoted end
    if c:find "[%(%[{<]" then depth = depth + 1 elseif c:find "[%)%]}>]" then depth = depth - 1 end
    if c == " " and depth == 0 and not quoted and not text:sub(1, i - 1):find "[:,|]$"
      and text:sub(i + 1, i + 1) ~= "|" then
      return text:sub(1, i - 1), text:sub(i + 1)
    end
  end
  return text, ""
end

local function add_class(stub, block)
  local class
  for _, line in ipairs(block) do
    local head = line:match("^%-%-%-@class (.*)$")
    if head then
      class = { exact = head:find("^%(exact%)") ~= nil, doc = {}, fields = {},
        name = head:gsub("^%(exact%) ", ""):match("^[%w_.]+"), parent = head:match(":%s*([%w_.]+)") }
      stub.classes[#stub.classes + 1] = class
    elseif class and line:find("^%-%-%-@field") then
      class.fields[#class.fields + 1] = read_field(line)
    end
  end
  if class then
    for _, line in ipairs(block) do
      if line:find("^%-%-%-@class") then break end
      class.doc[#class.doc + 1] = line:sub(4)
    end
  end
end

local function add_alias(stub, block)
  for i, line in ipairs(block) do
    local name, rest = line:match("^%-%-%-@alias ([%w_.]+)%s*(.*)$")
    if name then
      local alias = { name = name, rest = rest, values = {} }
      for k = i + 1, #block do
        local value, note = block[k]:match("^%-%-%-|%s*(%S+)%s*#?%s*(.*)$")
        if value then alias.values[#alias.values + 1] = { value = value, note = note } end
      end
      stub.aliases[#stub.aliases + 1] = alias
    end
  end
end

local function add_function(stub, block, path, args, line)
  local item = { path = path, args = args, line = line, doc = {}, example = {}, params = {}, returns = {} }
  local in_example = false
  for _, text in ipairs(block) do
    local body = text:sub(4)
    if body:find("^```") then
      in_example = not in_example
    elseif in_example then
      item.example[#item.example + 1] = body
    elseif body:find("^@param") then
      local name, rest = body:match("^@param (%S+)%s*(.*)$")
      item.params[#item.params + 1] = { name = (name:gsub("%?$", "")), optional = name:sub(-1) == "?", rest = rest }
    elseif body:find("^@return") then
      item.returns[#item.returns + 1] = body:match("^@return (.*)$")
    elseif not body:find("^@") then
      item.doc[#item.doc + 1] = body
    end
  end
  stub.functions[#stub.functions + 1] = item
end

---@return table stub { name, path, module, functions, classes, aliases, globals }
function M.parse(path)
  local stub = { path = path, name = path:match("([^/]+)%.lua$"), functions = {}, classes = {}, aliases = {} }
  local block, number = {}, 0
  for line in (fs.read(path) .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    if line:find("^%-%-%-@meta") then
      stub.module = line:match("@meta (%S+)")
    elseif line:find("^%-%-%-") then
      block[#block + 1] = line
    else
      local name, args = line:match("^function ([%w_.:]+)%((.-)%) end$")
      if #block > 0 or name then
        if name then
          add_function(stub, block, name, args, number)
        else
          add_class(stub, block)
          add_alias(stub, block)
        end
      end
      block = {}
    end
  end
  return stub
end

---The tables that a stub returns, and the globals that it sets.
---@return any value, table types, table globals
function M.run(path)
  local globals = {}
  local chunk = assert(loadfile(path, "t", setmetatable({}, { __newindex = function(_, key, value)
    globals[key] = value
  end, __index = globals })))
  local value, types = chunk()
  return value, types or {}, globals
end

---@return table[] stubs in the order of their names
function M.all()
  local out = {}
  for _, name in ipairs(fs.list(FOLDER)) do
    if name:find("%.lua$") then out[#out + 1] = M.parse(FOLDER .. "/" .. name) end
  end
  return out
end

---@return table<string, table> every class by name
function M.classes(stubs)
  local out = {}
  for _, stub in ipairs(stubs) do
    for _, class in ipairs(stub.classes) do out[class.name] = class end
  end
  return out
end

return M
