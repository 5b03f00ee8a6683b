---The program: argv in, exit code out. Every failure ends here, in one place, as one printed error and one code.
local errors = require "migrator.error"
local host = require "migrator.core.host"

local M = {}

local function traceback(value)
  local err = errors.wrap(value, "internal")
  if not err.traceback then rawset(err, "traceback", debug.traceback("", 2):gsub("^%s+", "")) end
  return err
end

local function print_text(text)
  if not text:find("\n$") then text = text .. "\n" end
  if not host.write("stdout", text) then errors.raise("internal", "cannot write to standard output") end
  return 0
end

local function report_settings(config, sink)
  local names = {}
  for name in pairs(config.origins) do names[#names + 1] = name end
  table.sort(names)
  local redact = require("migrator.lib.url").redact
  for _, name in ipairs(names) do
    if config.origins[name] ~= "default" then
      sink:diagnostic("debug", ("%s = %s (from %s)"):format(name, redact(tostring(config[name])), config.origins[name]))
    end
  end
end

-- --ephemeral: the command runs as ever, on a server that lives as long as it does. `test` always has one of its own.
local function run_command(parsed, config, sink)
  local app, options = require("migrator.app." .. parsed.command), require "migrator.options"
  if not config.ephemeral or parsed.command == "test" or not options.applies(options.by_name.ephemeral,
    parsed.command) then
    return app.run(config, sink, parsed.args, parsed)
  end
  local settings, server <close> = require("migrator.ephemeral").attach(config, sink) -- luacheck: ignore server
  return app.run(settings, sink, parsed.args, parsed)
end

local function run(argv, holder)
  if argv[1] == "--version" and not argv[2] then return print_text("migrator " .. host.version) end
  local parsed = require("migrator.cli").parse(argv)
  if parsed.text then return print_text(parsed.text) end
  if parsed.version then return print_text("migrator " .. host.version) end
  if not parsed.command or parsed.command == "help" then
    return print_text(require("migrator.app.help").text(parsed.args.topic))
  end
  local config = require("migrator.config").resolve(parsed.given)
  local sink = require("migrator.sink").new(config)
  holder.sink = sink
  require("migrator.secrets").hide(config)
  for _, slip in ipairs(require("migrator.config").find_misspelt(config.environment)) do
    sink:diagnostic("warning", ("the variable %s is none of ours: did you mean %s?"):format(slip.name, slip.near))
  end
  if sink.verbose then report_settings(config, sink) end
  local code = run_command(parsed, config, sink)
  if code == 0 and package.loaded["migrator.verify"] then
    local failures = require("migrator.verify").pending_failures()
    if failures[1] then require("migrator.verify").insist(failures[1]) end
  end
  if sink.broken and code == 0 then
    errors.raise("config", { message = "standard output could not be written",
      hint = "is the disk full, or has the program ended that reads it? What the run did stands" })
  end
  return code
end

---A run is short: a collector that starts later costs a few MiB and saves a fifth of the time of a large journal. A step
---of a negative size (KiB) is credit: it does not start at all before that much was allocated.
local function tune_collector()
  collectgarbage("incremental", 300, 400)
  collectgarbage("step", -8 << 10)
end

---What to print an error with that came before there was a configuration.
local function guess(argv)
  local given = { environment = host.environment() }
  for _, word in ipairs(argv) do
    if word:find("%.lua$") then break end
    if word == "--json" then given.json = true end
  end
  return given
end

---@param argv string[] with argv[0]
---@return integer exit code
function M.main(argv)
  tune_collector()
  local holder = {}
  local ok, result = xpcall(run, traceback, argv, holder)
  if ok then return result end
  result = errors.wrap(result, "internal") -- a lack of memory comes as a bare text: no handler could run
  local sink = holder.sink or require("migrator.sink").new(guess(argv))
  sink:clear_progress()
  local shown, second = pcall(require("migrator.sink.failure").print, sink, result)
  if not shown then
    local text = "error: " .. tostring(result) .. "\n" .. tostring(second) .. "\n"
    host.write("stderr", require("migrator.lib.mask").apply(text))
  end
  return errors.exit_code(result)
end

return M.main
