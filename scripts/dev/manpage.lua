-- The manual page, in man(7) macros.
local M = {}

-- A line that begins with a dot or a quote would be a macro; a hyphen of a command must stay one when it is copied.
local function roff(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("`", ""):gsub("…", "...")
  return (text:gsub("^([.'])", "\\&%1"):gsub("\n([.'])", "\n\\&%1"))
end

local function option_lines(add, facts, option)
  add(".TP\n\\fB" .. roff(facts.options.flag(option)) .. "\\fR" .. roff(facts.takes(option)))
  add(roff(option.help))
end

local FILES = {
  { "migrator.config.lua", "the project's settings: a Lua file that returns a table" },
  { ".env", "variables that the environment does not have yet" },
  { "migrations/meta/_journal.json", "the journal, as drizzle-kit writes it" },
}

---@param facts { commands: table[], options: table, usage: fun(command: table): string, takes: fun(option: table): string,
---  exits: table[], version: string }
---@return string
function M.make(facts)
  local out = {}
  local function add(text) out[#out + 1] = text end
  add(('.TH MIGRATOR 1 "" "migrator %s"'):format(facts.version))
  add(".SH NAME\nmigrator \\- migrate, verify and seed a PostgreSQL database")
  add ".SH SYNOPSIS\n.B migrator\n.I FILE.lua\n[\\fIARGS\\fR]"
  add ".br\n.B migrator\n.I COMMAND\n[\\fIOPTIONS\\fR]"
  add(".SH DESCRIPTION")
  add(roff "Applies a Drizzle project's migrations to PostgreSQL, verifies, seeds, and runs pipelines written in Lua.")
  add(".SH COMMANDS")
  for _, command in ipairs(facts.commands) do
    if not command.hidden then
      add(".TP\n\\fB" .. roff(facts.usage(command)) .. "\\fR")
      add(roff(command.summary))
      for _, option in ipairs(command.options or {}) do
        add(".RS\n.TP\n\\fB" .. roff(facts.options.flag(option)) .. "\\fR" .. roff(facts.takes(option)))
        add(roff(option.help) .. "\n.RE")
      end
    end
  end
  add(".SH OPTIONS")
  for _, option in ipairs(facts.options.list) do
    if option.cli ~= false then option_lines(add, facts, option) end
  end
  add(".SH ENVIRONMENT")
  add(roff "Every option can be a variable: MIGRATOR_ and its name in capitals. Besides:")
  for _, option in ipairs(facts.options.list) do
    if option.env then add((".TP\n.B %s\nthe same as MIGRATOR_%s"):format(option.env, option.name:upper())) end
  end
  add(".TP\n.B NO_COLOR\nno colours")
  add(".TP\n.B PG_BINDIR\nwhere the programs of PostgreSQL are, for throw\\-away servers")
  add(".SH FILES")
  for _, file in ipairs(FILES) do add((".TP\n.I %s\n%s"):format(roff(file[1]), roff(file[2]))) end
  add(".SH EXIT STATUS")
  for _, row in ipairs(facts.exits) do add((".TP\n.B %d\n%s"):format(row[1], roff(row[2]))) end
  add(".SH SEE ALSO\n.BR psql (1)")
  return table.concat(out, "\n") .. "\n"
end

return M
