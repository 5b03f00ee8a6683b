-- Writes docs/api.md, docs/commands.md and docs/migrator.1 from the stubs and from the tables of options and commands.
-- `docs.lua check` writes nothing and fails when one of them is not what it would write.
local commands = require "migrator.commands"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local manpage = require "manpage"
local options = require "migrator.options"
local stubs = require "stubs"

local MADE = "<!-- Made by `make docs`; edits here are lost. -->\n"

local MEANING = {
  { 0, "done, or nothing to do" },
  { 1, "a migration, a seed or the verification failed, or journal and database disagree: a person looks" },
  { 2, "command line, configuration, journal or script is wrong; nothing was changed by what failed" },
  { 3, "a defect of migrator: please report it" },
  { 4, "database or proxy not reachable, or a deadline passed: try again" },
  { 5, "somebody else held a lock for too long; nothing changed: try again" },
  { 10, "with `--check`: something is pending" },
  { 130, "interrupted: 128 + the signal's number (SIGINT 130, SIGTERM 143); rolled back" },
}

local function codes_of(exit)
  local out = {}
  for code, number in pairs(errors.EXIT) do
    if number == exit then out[#out + 1] = "`" .. code .. "`" end
  end
  table.sort(out)
  return table.concat(out, ", ")
end

-- In a table's cell a bar would end it.
local function cell(text) return (tostring(text):gsub("|", "\\|")) end

local function default_of(option)
  local value = option.default
  if value == nil then return "" end
  if option.kind == "flag" then return value and "`true`" or "" end
  if type(value) == "table" then return #value > 0 and "`" .. table.concat(value, ",") .. "`" or "" end
  if option.kind == "duration" then return "`" .. value .. (value == 0 and "`" or "s`") end
  return "`" .. tostring(value) .. "`"
end

local function takes(option)
  if option.kind == "flag" then return "" end
  return " " .. (option.choices and table.concat(option.choices, "|") or option.metavar or "VALUE")
end

local function usage(command)
  local out = { "migrator " .. command.name }
  if #(command.options or {}) > 0 then out[#out + 1] = "[OPTIONS]" end
  for _, argument in ipairs(command.arguments or {}) do
    local name = argument.name:upper()
    local forms = { ["*"] = "[" .. name .. "…]", ["?"] = "[" .. name .. "]", ["+"] = name .. "…" }
    out[#out + 1] = forms[argument.args or ""] or name
  end
  if command.name == "run" then return "migrator FILE.lua [ARGS…]" end
  if command.name == "ephemeral" then out[#out + 1] = "[-- CMD…]" end
  return table.concat(out, " ")
end

local function common(command)
  local out = {}
  for _, option in ipairs(options.list) do
    if option.commands and options.applies(option, command.name) then
      out[#out + 1] = "`" .. options.flag(option) .. "`"
    end
  end
  return out
end

local function add_command(add, command)
  add(("\n## %s\n\n```text\n%s\n```\n\n%s.\n"):format(command.name, usage(command),
    command.summary:gsub("^%l", string.upper)))
  local own = {}
  for _, argument in ipairs(command.arguments or {}) do
    own[#own + 1] = ("| `%s` | %s |"):format(argument.name:upper(), cell(argument.help))
  end
  for _, option in ipairs(command.options or {}) do
    own[#own + 1] = ("| `%s%s` | %s |"):format(options.flag(option), cell(takes(option)), cell(option.help))
  end
  if #own > 0 then add("\n| takes | meaning |\n|---|---|\n" .. table.concat(own, "\n") .. "\n") end
  local shared = common(command)
  if #shared > 0 then add("\nAlso: " .. table.concat(shared, " ") .. "\n") end
end

local function command_page()
  local out = { "# Commands\n", MADE, [[

Every option can also be a variable, `MIGRATOR_` and its name in capitals, and most can stand in `migrator.config.lua`.
The command line wins over the variable, the variable over the project file, that over the default.
]] }
  local function add(text) out[#out + 1] = text end
  for _, command in ipairs(commands.list) do
    if not command.hidden then add_command(add, command) end
  end
  add [[

## Options

Those without a list of commands are taken by all.

| option | default | variable | commands | meaning |
|---|---|---|---|---|
]]
  for _, option in ipairs(options.list) do
    local flag = "`" .. options.flag(option) .. cell(takes(option)) .. "`"
    local name = option.cli == false and "`" .. option.name .. "` (project file)" or flag
    local variable = "`" .. options.variable(option) .. "`" .. (option.env and ", `" .. option.env .. "`" or "")
    local where = option.cli ~= false and option.commands and table.concat(option.commands, " ") or ""
    add(("| %s | %s | %s | %s | %s |\n"):format(name, default_of(option), variable, where, cell(option.help)))
  end
  add "\nNot in `migrator.config.lua`:"
  local outside = {}
  for _, option in ipairs(options.list) do
    if option.file == false then outside[#outside + 1] = " `" .. option.name .. "`" end
  end
  add(table.concat(outside, ",") .. ".\n")
  add "\n## Exit codes\n\n| code | meaning | errors |\n|---|---|---|\n"
  for _, row in ipairs(MEANING) do add(("| %d | %s | %s |\n"):format(row[1], row[2], codes_of(row[1]))) end
  return table.concat(out)
end

local function add_class(add, class)
  if #class.fields == 0 then return end
  add(("\n<a id=\"%s\"></a>\n**`%s`**%s%s\n\n"):format(class.name, class.name, class.exact and ", no other fields"
    or "",
    class.parent and (", and what is in `%s`"):format(class.parent) or ""))
  if #class.doc > 0 then add(table.concat(class.doc, "\n") .. "\n\n") end
  add "| field | type | |\n|---|---|---|\n"
  for _, field in ipairs(class.fields) do
    local kind, note = stubs.split_type(field.rest)
    add(("| `%s%s` | `%s` | %s |\n"):format(field.name, field.optional and "?" or "", cell(kind), cell(note)))
  end
end

local function add_function(add, item)
  add(("\n### `%s(%s)`\n\n%s\n"):format(item.path, item.args, table.concat(item.doc, "\n")))
  if #item.params + #item.returns > 0 then add "\n" end
  for _, param in ipairs(item.params) do
    local kind, note = stubs.split_type(param.rest)
    add(("- `%s%s`: `%s`%s\n"):format(param.name, param.optional and "?" or "", kind, note ~= "" and " – " .. note
      or ""))
  end
  for _, text in ipairs(item.returns) do
    local kind, note = stubs.split_type(text)
    add(("- returns `%s`%s\n"):format(kind, note ~= "" and " " .. note or ""))
  end
  if #item.example > 0 then add("\n```lua\n" .. table.concat(item.example, "\n") .. "\n```\n") end
end

local function add_stub(add, stub)
  for _, class in ipairs(stub.classes) do
    if class.name == "migrator." .. stub.name and #class.doc > 0 and stub.name ~= "error" then
      add("\n" .. table.concat(class.doc, "\n") .. "\n")
      class.doc = {}
    end
  end
  for _, item in ipairs(stub.functions) do add_function(add, item) end
  for _, class in ipairs(stub.classes) do add_class(add, class) end
  for _, alias in ipairs(stub.aliases) do
    add(("\n**`%s`**%s\n"):format(alias.name, alias.rest ~= "" and ": `" .. alias.rest .. "`" or ""))
    for _, value in ipairs(alias.values) do add(("\n- `%s` %s"):format(value.value, value.note)) end
    if #alias.values > 0 then add "\n" end
  end
end

local function api_page()
  local by_name, out = {}, { "# The Lua API\n", MADE, [[

What a script sees besides the safe part of Lua's standard library. `require` finds files beside the script.
Verbs raise, questions (`find_`, `try_`, `is_`) answer. `migrator types` writes the same for editors.

]] }
  local function add(text) out[#out + 1] = text end
  for _, stub in ipairs(stubs.all()) do by_name[stub.name] = stub end
  local _, _, globals = stubs.run "lua/meta/globals.lua"
  local names = {}
  for name in pairs(globals) do
    if by_name[name] then names[#names + 1] = name end
  end
  names[#names + 1] = "pipeline"
  table.sort(names)
  for _, name in ipairs(names) do add(("- [%s](#%s)\n"):format(name, name)) end
  add "- [mask](#mask)\n- [arg](#arg)\n- [errors](#errors)\n"
  for _, name in ipairs(names) do
    add(("\n## %s\n"):format(name))
    add_stub(add, by_name[name])
  end
  add "\n## mask\n"
  for _, item in ipairs(by_name.globals.functions) do add_function(add, item) end
  add "\n## arg\n\nThe arguments of the script, a list of texts; they are its parameters `...` too.\n"
  add "\n## errors\n"
  for _, class in ipairs(by_name.error.classes) do add("\n" .. table.concat(class.doc, "\n") .. "\n") end
  by_name.error.classes[1].doc = {}
  add_stub(add, by_name.error)
  return table.concat(out)
end

local pages = {
  ["docs/api.md"] = api_page(), ["docs/commands.md"] = command_page(),
  ["docs/migrator.1"] = manpage.make { commands = commands.list, options = options, usage = usage, takes = takes,
    exits = MEANING, version = host.version },
}
local stale = 0
for _, path in ipairs { "docs/api.md", "docs/commands.md", "docs/migrator.1" } do
  local text = pages[path]:gsub("[ \t]+\n", "\n")
  local current = fs.find(path) and fs.read(path)
  if current ~= text then
    if arg[1] == "check" then
      io.stdout:write(path, " is not what `make docs` writes\n")
      stale = stale + 1
    else
      fs.mkdir "docs"
      fs.write(path, text)
      io.stdout:write("wrote ", path, "\n")
    end
  end
end
return stale > 0 and 1 or 0
