-- Writes the C file that carries our Lua: `lua5.4 embed.lua OUT NAME=FILE… -- PATH=FILE…`.
-- Before `--` modules, compiled (debug information is kept for tracebacks); after it files as they are.
local out = assert(io.open(arg[1], "w"))

local function write_bytes(name, data)
  out:write("static const char ", name, "[] = {\n")
  for at = 1, #data, 4096 do
    out:write((data:sub(at, at + 4095):gsub(".", function(c) return string.format("%d,", string.unpack("b", c)) end)),
      "\n")
  end
  out:write("0};\n")
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local data = file:read("a")
  file:close()
  return data
end

local lists, current = { {}, {} }, 1
for i = 2, #arg do
  if arg[i] == "--" then
    current = 2
  else
    local name, path = arg[i]:match("^(.-)=(.*)$")
    local data = read(path)
    if current == 1 then
      data = string.dump(assert(load(data:gsub("^#[^\n]*", ""), "=migrator:" .. name, "t")))
    end
    table.insert(lists[current], { name = name, data = data })
  end
end

out:write('/* Made by scripts/dev/embed.lua. */\n#include "host/embed.h"\n\n')
for index, prefix in ipairs { "module", "file" } do
  table.sort(lists[index], function(a, b) return a.name < b.name end)
  for i, item in ipairs(lists[index]) do write_bytes(prefix .. i, item.data) end
  out:write("\nconst mig_embedded mig_embedded_", prefix, "s[] = {\n")
  for i, item in ipairs(lists[index]) do
    out:write(string.format('  {"%s", %s%d, sizeof %s%d - 1},\n', item.name, prefix, i, prefix, i))
  end
  out:write("  {NULL, NULL, 0}};\n")
end
out:close()
