---What GitHub's runner makes of a step's output and of the files it wrote: the rules of actions/runner, in
---ActionCommand.cs (how a line is read), ActionCommandManager.cs (which are obeyed) and FileCommandManager.cs.
local M = {}

local REGISTERED = {}
for name in ([[stop-commands set-env set-output save-state add-mask add-path add-matcher remove-matcher warning error
  notice debug group endgroup echo]]):gmatch("%S+") do REGISTERED[name] = true end

-- What .NET takes off the start of a line: blanks of ASCII and of Unicode.
local BLANKS = { "[\t\v\f\28-\32]", "\194[\133\160]", "\225\154\128", "\226\128[\128-\138\168\169\175]",
  "\226\129\159", "\227\128\128" }

local function trim_start(line)
  local at, again = 1, true
  while again do
    again = false
    for _, blank in ipairs(BLANKS) do
      local _, last = line:find("^" .. blank, at)
      if last then at, again = last + 1, true end
    end
  end
  return line:sub(at)
end

local function unescape(text, list)
  for _, pair in ipairs(list) do text = text:gsub((pair[1]:gsub("%%", "%%%%")), (pair[2]:gsub("%%", "%%%%"))) end
  return text
end

local DATA = { { "%0D", "\r" }, { "%0A", "\n" }, { "%25", "%" } }
local PROPERTY = { { "%0D", "\r" }, { "%0A", "\n" }, { "%3A", ":" }, { "%2C", "," }, { "%25", "%" } }
local OLD = { { "%3B", ";" }, { "%0D", "\r" }, { "%0A", "\n" }, { "%5D", "]" }, { "%25", "%" } }

local function properties_of(text, separator, list)
  local out = {}
  for pair in text:gmatch("[^" .. separator .. "]+") do
    local key, value = pair:match("^=*([^=]+)=(.+)$")
    if key then out[key:lower()] = unescape(value, list) end
  end
  return out
end

local function command_of(info, registered, separator, list)
  local name, rest = info:match("^([^ ]*) ?(.*)$")
  if not registered[name:lower()] then return nil end
  return { name = name:lower(), info = info, properties = properties_of(rest:match("^%s*(.-)%s*$"), separator, list) }
end

local function parse(line, registered)
  local text = trim_start(line)
  local from, to = text:find("::", 3, true)
  if text:sub(1, 2) == "::" and from then
    local found = command_of(text:sub(3, from - 1), registered, ",", PROPERTY)
    if found then
      found.data = unescape(text:sub(to + 1), DATA)
      return found
    end
  end
  local first = line:find("##[", 1, true)
  local stop = first and line:find("]", first, true)
  if not stop then return nil end
  local found = command_of(line:sub(first + 3, stop - 1), registered, ";", OLD)
  if found then found.data = unescape(line:sub(stop + 1), OLD) end
  return found
end

---What one stream's text makes the runner do.
---@param text string
---@return table[] commands each name, info, properties, data and the number of its line; the ones that were obeyed
---@return string log what people get to see: the lines that were none
---@return boolean stopped whether commands are still switched off at the end
function M.read(text)
  local registered = setmetatable({}, { __index = REGISTERED })
  local commands, log, token, number = {}, {}, nil, 0
  for line in (text:gsub("\r\n", "\n"):gsub("\r", "\n") .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    local found = parse(line, registered)
    if found and token then
      if found.name == token then
        registered[token], token = nil, nil
      else
        found = nil
      end
    elseif found then
      commands[#commands + 1], found.line = found, number
      if found.name == "stop-commands" then
        token = found.data:lower()
        registered[token] = true
      end
    end
    if not found then log[#log + 1] = line end
  end
  return commands, table.concat(log, "\n"), token ~= nil
end

local function heredoc(line, read)
  local name, delimiter = line:match("^(.-)<<(.*)$")
  if name == "" or delimiter == "" then error("invalid format: " .. line, 0) end
  local lines, value = {}, read()
  while value ~= delimiter do
    if not value then error("matching delimiter not found: " .. delimiter, 0) end
    lines[#lines + 1], value = value, read()
  end
  return name, table.concat(lines, "\n")
end

---The values in a file of outputs. Raises what the runner fails the step with.
---@param text string
---@return table<string, string>
function M.outputs(text)
  local out, at = {}, 1
  local function read()
    if at > #text then return nil end
    local stop = text:find("\n", at, true)
    local found = text:sub(at, (stop or #text + 1) - 1)
    at = (stop or #text) + 1
    return found
  end
  for line in read do
    local equals, here = line:find("=", 1, true), line:find("<<", 1, true)
    if here and (not equals or here < equals) then
      local name, value = heredoc(line, read)
      out[name] = value
    elseif equals then
      out[line:sub(1, equals - 1)] = line:sub(equals + 1)
    elseif line ~= "" then
      error("invalid format: " .. line, 0)
    end
  end
  return out
end

return M
