---Consent to what cannot be taken back: a phrase that names its target, typed on a terminal or given beforehand.
---Input that is not a terminal is never consent.
local errors = require "migrator.error"
local host = require "migrator.core.host"

local M = {}

local function refuse(message, phrase, command)
  local hint = type(command) == "function" and command(phrase) or ("%s --confirm %q"):format(command, phrase)
  errors.raise("usage", { message = message, hint = hint, state = "nothing was changed" })
end

---Returns when the phrase was given; raises `usage` otherwise.
---@param sink migrator.Sink
---@param phrase string
---@param given string|nil from --confirm
---@param command string|fun(phrase: string): string how to say it on the command line, for the hint; or the hint
function M.insist(sink, phrase, given, command)
  if given == phrase then return end
  if given then refuse(("the confirmation %q does not match"):format(given), phrase, command) end
  if not host.terminal("stdin") then
    refuse("this needs a confirmation, and the input is not a terminal", phrase, command)
  end
  sink:clear_progress()
  host.write("stderr", ("Type %q to go on: "):format(phrase))
  local answer = io.stdin:read("l")
  if answer ~= phrase then refuse("not confirmed", phrase, command) end
end

return M
