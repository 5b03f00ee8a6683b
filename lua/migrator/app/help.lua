---migrator help [COMMAND]
local cli = require "migrator.cli"
local commands = require "migrator.commands"
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

local M = {}

---@param topic? string
---@return string
function M.text(topic)
  if not topic then return cli.help() end
  if not commands.by_name[topic] then
    local names = {}
    for i, command in ipairs(commands.list) do names[i] = command.name end
    local near = suggest.nearest(topic, names)
    errors.raise("usage", { message = ("no help on %q"):format(topic), hint = near and ("did you mean %s?"):format(near)
      or "`migrator help` lists the commands" })
  end
  local parser = cli.parser(topic)
  return parser._commands[1]:get_help()
end

return M
