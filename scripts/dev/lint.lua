-- What no other tool looks at: sizes, and calls that have a better one. A function that is too long is only mentioned.
local fs = require "migrator.core.fs"

local LIMITS = { { "^src/", 500 }, { "^include/", 500 }, { "^lua/migrator/steps/", 120 }, { "^lua/migrator/", 300 },
  { "^scripts/", 300 }, { "^seeds/", 300 } }
local FUNCTION = 40

-- name = where it may stand after all
local BANNED = {
  strcpy = false, strcat = false, sprintf = false, vsprintf = false, gets = false, system = false, popen = false,
  atoi = false, atol = false, atof = false, strtok = false, tmpnam = false, mktemp = false, alloca = false,
  rand = false, srand = false, getenv = { ["src/host/embed.c"] = true, ["src/bind/fs.c"] = true },
}

local problems = 0

local function report(path, line, format, ...)
  problems = problems + 1
  io.stdout:write(("%s:%d: "):format(path, line), format:format(...), "\n")
end

local function note(path, line, format, ...)
  io.stdout:write(("note: %s:%d: "):format(path, line), format:format(...), "\n")
end

local function read_lines(path)
  local out = {}
  for line in fs.read(path):gmatch("([^\n]*)\n?") do out[#out + 1] = line end
  if out[#out] == "" then out[#out] = nil end
  return out
end

local function check_size(path, lines)
  for _, limit in ipairs(LIMITS) do
    if path:find(limit[1]) then
      if #lines > limit[2] then report(path, limit[2], "%d lines, at most %d", #lines, limit[2]) end
      return
    end
  end
end

local function check_bytes(path, lines)
  for number, line in ipairs(lines) do
    if line:find("\t", 1, true) then report(path, number, "a tab") end
    if line:find("%s$") then report(path, number, "blanks at the end of the line") end
    if line:find("\r", 1, true) then report(path, number, "a carriage return") end
  end
end

local function check_c(path, lines)
  local start, in_comment
  for number, line in ipairs(lines) do
    local code = line:gsub('"[^"]*"', '""'):gsub("/%*.-%*/", "")
    if in_comment and code:find("*/", 1, true) then code, in_comment = code:gsub("^.-%*/", ""), false end
    if in_comment then code = "" end
    if code:find("/*", 1, true) then code, in_comment = code:gsub("/%*.*$", ""), true end
    for name in code:gmatch("%f[%w_]([%w_]+)%s*%(") do
      local allowed = BANNED[name]
      if path:find("^src/") and allowed ~= nil and not (allowed and allowed[path]) then
        report(path, number, "%s is not to be used here", name)
      end
    end
    if line:find("^[%w_].*%)%s*{$") then start = number end
    if line == "}" and start then
      if number - start - 1 > FUNCTION then note(path, start, "a function of %d lines", number - start - 1) end
      start = nil
    end
  end
end

local function check_lua(path, lines)
  local open = {}
  for number, line in ipairs(lines) do
    local indent = line:match("^(%s*)local function") or line:match("^(%s*)function")
      or line:match("^(%s*)return function")
    if indent and not line:find("%f[%w_]end[%s,)}]*$") then open[indent] = number end
    local closed = line:match("^(%s*)end%f[^%w_]") or line:match("^(%s*)end$")
    local start = closed and open[closed]
    if start then
      local length = number - start - 1
      if length > FUNCTION and path:find("^lua/") then note(path, start, "a function of %d lines", length) end
      open[closed] = nil
    end
  end
end

local function walk(folder, visit)
  for _, name in ipairs(fs.list(folder)) do
    local path = folder .. "/" .. name
    local kind = fs.find(path)
    if kind and kind.type == "directory" then
      if name ~= "node_modules" and name ~= "fixtures" and name ~= "corpus" then walk(path, visit) end
    elseif kind then
      visit(path)
    end
  end
end

for _, folder in ipairs { "src", "include", "lua", "scripts", "seeds", "spec" } do
  walk(folder, function(path)
    local is_c, is_lua = path:find("%.[ch]$"), path:find("%.lua$")
    if not is_c and not is_lua then return end
    local lines = read_lines(path)
    check_size(path, lines)
    check_bytes(path, lines)
    if is_c then check_c(path, lines) else check_lua(path, lines) end
  end)
end
if problems > 0 then
  io.stdout:write(("lint: %d problem%s\n"):format(problems, problems == 1 and "" or "s"))
  return 1
end
return 0
