---The command line, from the tables of options and commands: parsing, --help and completion.
local lazy = require "migrator.lib.lazy"
local commands = require "migrator.commands"
local errors = require "migrator.error"
local host = require "migrator.core.host"
local options = require "migrator.options"
local suggest = lazy.require "migrator.lib.suggest"

local M = {}

local NARROW, WIDE = 80, 100

local function add_option(parser, option)
  local flag = options.flag(option)
  if option.kind == "flag" then
    return parser:flag(flag, option.help):target(option.name)
  else
    local made = parser:option(flag, option.help):target(option.name):argname("<" .. (option.metavar
      or (option.choices and table.concat(option.choices, "|")) or "value"):lower() .. ">")
    return option.choices and made:choices(option.choices) or made
  end
end

local function add_command(root, command)
  local parser = root:command(command.name, command.summary):add_help(false)
  parser:flag("-h --help", "show this help"):action(function() error({ help = parser:get_help() }, 0) end)
  for _, argument in ipairs(command.arguments or {}) do
    parser:argument(argument.name, argument.help):args(argument.args or 1)
  end
  for _, own in ipairs(command.options or {}) do add_option(parser, own) end
  for _, option in ipairs(options.list) do
    if options.applies(option, command.name) then add_option(parser, option) end
  end
  return parser
end

-- Help is as wide as the terminal, up to where lines become hard to read.
local function width() return math.max(40, math.min(host.terminal("stdout") or NARROW, WIDE)) end

---@param only? string add this command only, which is quicker
function M.parser(only)
  local root = require("argparse")("migrator",
    "Applies a Drizzle project's migrations to PostgreSQL, verifies and seeds, and runs pipelines "
    .. "written in Lua."):add_help(false):require_command(false)
  root:usage("Usage: migrator FILE.lua [ARGS…]\n       migrator COMMAND [OPTIONS]")
  root:usage_max_width(width()):help_max_width(width())
  root:flag("-h --help", "show this help"):action(function() error({ help = M.help() }, 0) end)
  root:flag("--version", "print the version")
  root:command_target("command")
  for _, command in ipairs(commands.list) do
    if command.name == only or not (only or command.hidden) then add_command(root, command) end
  end
  return root
end

---The help of the whole program: the commands, and the options that all of them take.
function M.help()
  local root = M.parser()
  local common = { table.unpack(root._options) }
  for _, option in ipairs(options.list) do
    if not option.commands and option.cli ~= false then common[#common + 1] = add_option(root, option) end
  end
  root:group("Common options", table.unpack(common))
  root:epilog("`migrator help COMMAND` shows a command's own options.")
  -- argparse puts options first; who asks for help wants the commands.
  return (root:get_help():gsub("(\n\nCommon options:.-)(\n\nCommands:.-)(\n\n`)", "%2%1%3"))
end

local function unknown_command(name)
  local names = {}
  for _, command in ipairs(commands.list) do names[#names + 1] = not command.hidden and command.name or nil end
  local near = suggest.nearest(name, names)
  errors.raise("usage", { message = ("unknown command %q"):format(name), hint = near
    and ("did you mean `migrator %s`?"):format(near) or "`migrator help` lists the commands" })
end

---Options that stand before a script's name belong to us, everything behind it to the script.
local function split_script(argv)
  local at = 1
  while argv[at] do
    local word = argv[at]
    if word:find("%.lua$") then return at end
    if word:sub(1, 1) ~= "-" and not (word == "run" and at == 1) then return nil end
    local name = word:match("^%-%-([%w-]+)$")
    local option = name and options.by_name[name:gsub("-", "_")]
    at = at + ((option and option.kind ~= "flag") and 2 or 1)
  end
end

---argparse's complaint, with our own "did you mean".
local function complain(message, command)
  local flag = message:match("unknown option '(%-%-?[^']*)'")
  local hint = message:match("\n(.*)$")
  if flag and not hint then
    local names = {}
    for _, option in ipairs(options.list) do names[#names + 1] = options.flag(option) end
    local near = suggest.nearest(flag, names)
    hint = near and ("did you mean %s?"):format(near)
  end
  errors.raise("usage", { message = message:match("^[^\n]*"):gsub("^Usage:.*", "wrong usage"):lower(),
    hint = hint or ("`migrator help%s` shows what it takes"):format(command and " " .. command or "") })
end

local function find_choice(option, value)
  for _, choice in ipairs(option.choices or { value }) do
    if choice == value then return true end
  end
  return false
end

---What nearly every call is: a command and its options, each once and spelt as in --help. Anything else, mistakes above
---all, is for argparse; setting that up takes longer than all the rest of the start.
local function parse_plain(name, words)
  local command, own, out, at = commands.by_name[name], {}, { command = name }, 2
  if not command or command.arguments then return nil end
  for _, option in ipairs(command.options or {}) do own[option.name] = option end
  while words[at] do
    local flag, equals, value = words[at]:match("^%-%-(%l[%l%d-]*)(=?)(.*)$")
    local key = flag and flag:gsub("-", "_")
    local option = own[key] or options.by_name[key]
    if not option or out[key] ~= nil or not (own[key] or options.applies(option, name)) then return nil end
    if option.kind == "flag" then
      if equals ~= "" or value ~= "" then return nil end
      out[key] = true
    else
      if equals == "" then
        at = at + 1
        value = value == "" and words[at] or "-"
      end
      if value == "" or value:sub(1, 1) == "-" or not find_choice(option, value) then return nil end
      out[key] = value
    end
    at = at + 1
  end
  return out
end

local function parse_words(name, words)
  local parser = M.parser(name)
  parser.error = function(_, message) error({ complaint = message }, 0) end
  for _, command in ipairs(parser._commands) do command.error = parser.error end
  local ok, result = pcall(parser.parse, parser, words)
  if ok then return result end
  if type(result) == "table" and result.complaint then complain(result.complaint, name) end
  if type(result) ~= "table" or not result.help then error(result, 0) end
  return nil, result.help
end

---@param argv string[]
---@return { command: string, given: table, args: table, script?: string, rest?: string[] }
function M.parse(argv)
  local script_at = split_script(argv)
  local words = { table.unpack(argv, 1, script_at and script_at - 1 or #argv) }
  local name
  for at, word in ipairs(words) do
    if commands.by_name[word] then name = word break end
    local before = at > 1 and words[at - 1]:match("^%-%-([%w-]+)$")
    local option = before and options.by_name[before:gsub("-", "_")]
    if word:sub(1, 1) ~= "-" and not (option and option.kind ~= "flag") then unknown_command(word) end
  end
  if script_at then
    name = "run"
    for at = #words, 1, -1 do
      if words[at] == "run" then table.remove(words, at) end
    end
    table.insert(words, 1, "run")
  elseif name and words[1] ~= name then -- options may stand before the command as well
    for at, word in ipairs(words) do
      if word == name then table.remove(words, at) break end
    end
    table.insert(words, 1, name)
  end
  local rest
  for at, word in ipairs(words) do
    if word == "--" and name == "ephemeral" then
      rest = { table.unpack(words, at + 1) }
      words = { table.unpack(words, 1, at - 1) }
      break
    end
  end
  local result, help = parse_plain(name, words), nil
  if not result then result, help = parse_words(name, words) end
  if not result then return { command = "help", text = help, given = {}, args = {} } end
  local given = {}
  for _, option in ipairs(options.list) do -- argparse also sets the command's own name, which may be that of an option
    if not name or options.applies(option, name) then given[option.name] = result[option.name] end
  end
  return { command = result.command, given = given, args = result, version = result.version,
    script = script_at and argv[script_at], rest = script_at and { table.unpack(argv, script_at + 1) } or rest }
end

return M
