-- What a CI system wants said in its own way: annotations, groups, masks, outputs. Elsewhere the same calls print plain
-- lines. Text of others (a proxy's log, a server's message) goes through `foreign`, or the runner would obey it.
local cut = require("migrator.lib.text").cut
local errors = require "migrator.error"
local mask = require "migrator.lib.mask"

local M = {}

local SUMMARY_LIMIT = 1024 * 1024
local PROPERTIES = { "file", "line", "endLine", "col", "endColumn", "title" }

local io_of = {
  write = function(text)
    io.stdout:write(text)
    io.stdout:flush()
  end,
  getenv = os.getenv,
  time = os.time,
}

---Replaces what this module reads and writes with; for specs and for hosts that own stdout.
---@param parts {write?: fun(text: string), getenv?: fun(name: string): string?, time?: fun(): integer}
function M.use(parts)
  for name, fn in pairs(parts) do io_of[name] = fn end
end

---@return "github"|"gitlab"|"none"
function M.provider()
  if io_of.getenv("GITHUB_ACTIONS") == "true" then return "github" end
  if io_of.getenv("GITLAB_CI") then return "gitlab" end
  return "none"
end

local function escape_data(text)
  return (tostring(text):gsub("%%", "%%25"):gsub("\r", "%%0D"):gsub("\n", "%%0A"))
end

local function escape_property(text)
  return (escape_data(text):gsub(":", "%%3A"):gsub(",", "%%2C"))
end

-- A secret is searched for before the text is escaped, as that would change it.
local function safe(text) return mask.apply(tostring(text)) end

---Text of others as a plain line of the log: nothing in it is a command to the runner any more. It obeys `::name::`
---after blanks at the start of a line, where a carriage return starts one too, and `##[name]` anywhere.
---@param text string
---@return string
function M.defuse(text)
  if M.provider() ~= "github" then return text end
  text = text:gsub("##%[", "# #[")
  if not text:find("::", 1, true) then return text end
  -- All that .NET trims as a blank: bytes above 127 are parts of its Unicode ones.
  text = ("\n" .. text):gsub("([\r\n][%s\v\f\194-\227\128-\191\133]*)::", "%1: :")
  return text:sub(2)
end

---One workflow command, escaped.
---@param name string
---@param properties table<string, string|number>
---@param message string
---@return string
function M.command(name, properties, message)
  local list = {}
  for _, key in ipairs(PROPERTIES) do
    local value = properties[key]
    if value ~= nil and value ~= "" then list[#list + 1] = key .. "=" .. escape_property(safe(value)) end
  end
  local head = #list > 0 and name .. " " .. table.concat(list, ",") or name
  return "::" .. head .. "::" .. escape_data(safe(message)) .. "\n"
end

local function plain(level, note)
  local where = ""
  if note.file then
    where = note.file .. ":" .. (note.line and note.line .. ":" or "") .. (note.col and note.col .. ":" or "") .. " "
  end
  local title = note.title and note.title .. ": " or ""
  return level .. ": " .. where .. title .. note.message .. "\n"
end

local function annotate(level, note)
  if type(note) == "string" then note = { message = note } end
  if M.provider() == "github" then
    io_of.write(M.command(level, note, note.message))
  else
    io_of.write(safe(plain(level, note)))
  end
end

---@alias migrator.Note string|{message: string, file?: string, line?: integer, col?: integer, title?: string}

---@param note migrator.Note
function M.error(note) annotate("error", note) end

---@param note migrator.Note
function M.warning(note) annotate("warning", note) end

---@param note migrator.Note
function M.notice(note) annotate("notice", note) end

local open_groups = {}

---Opens a foldable part of the log; the runner knows no nesting.
---@param title string
function M.group(title)
  local provider = M.provider()
  title = safe(title):gsub("[\r\n]+", " ")
  local name = title:gsub("[^%w_.-]", "_"):lower()
  open_groups[#open_groups + 1] = name
  if provider == "github" then
    io_of.write(M.command("group", {}, title))
  elseif provider == "gitlab" then
    io_of.write(("\27[0Ksection_start:%d:%s\r\27[0K%s\n"):format(io_of.time(), name, title))
  else
    io_of.write("--- " .. title .. "\n")
  end
end

function M.endgroup()
  local provider = M.provider()
  local name = table.remove(open_groups) or "group"
  if provider == "github" then
    io_of.write("::endgroup::\n")
  elseif provider == "gitlab" then
    io_of.write(("\27[0Ksection_end:%d:%s\r\27[0K\n"):format(io_of.time(), name))
  end
end

---Hides a value in all that is printed from now on, and tells the runner to: each of its lines, and the forms that
---`mask` looks for. What `mask` finds too short to hide the runner is not told either: it would hide it in every word. Only
---GitHub can; elsewhere nothing is printed, as the line itself would be the leak.
---@param value string
function M.mask(value)
  local forms = mask.add(value)
  if M.provider() ~= "github" then return end
  local out = {}
  for _, form in ipairs(forms) do
    if not form:find("[\r\n]") then out[#out + 1] = "::add-mask::" .. escape_data(form) .. "\n" end
  end
  io_of.write(table.concat(out))
end

local function random_token()
  return require("migrator.core.hash").random_hex(16)
end

local function append(path, text)
  require("migrator.core.fs").append(path, text)
end

local function heredoc(name, value)
  local delimiter
  repeat delimiter = "migrator_" .. random_token() until not value:find(delimiter, 1, true)
  return ("%s<<%s\n%s\n%s\n"):format(name, delimiter, value, delimiter)
end

---Gives the step an output, for later steps and jobs to read; a secret in it is hidden, like everywhere. Raises `config`
---for an impossible name.
---@param name string
---@param value string|number|boolean
function M.output(name, value)
  if not name:find("^[%a_][%w_%-]*$") then
    errors.raise("config", { message = ("step output: %q cannot be a name"):format(name) })
  end
  value = safe(value)
  local path = M.provider() == "github" and io_of.getenv("GITHUB_OUTPUT")
  if not path or path == "" then
    io_of.write(name .. "=" .. M.defuse(value) .. "\n")
  elseif value:find("[\r\n]") then
    append(path, heredoc(name, value))
  else
    append(path, name .. "=" .. value .. "\n")
  end
end

---Adds Markdown to the page of the run. What would exceed the runner's limit is left out, and that is said: otherwise
---the whole page would be lost.
---@param markdown string
function M.summary(markdown)
  local path = M.provider() == "github" and io_of.getenv("GITHUB_STEP_SUMMARY")
  markdown = mask.apply(markdown)
  if not markdown:find("\n$") then markdown = markdown .. "\n" end
  if not path or path == "" then
    io_of.write(M.defuse(markdown))
    return
  end
  local file = require("migrator.core.fs").find(path)
  local room = SUMMARY_LIMIT - (file and file.size or 0)
  if #markdown > room then
    local note = "\n\n(cut off: the summary is limited to 1 MiB)\n"
    markdown = room > #note and cut(markdown, room - #note, note) or ""
  end
  if markdown ~= "" then append(path, markdown) end
end

---Prints text that is not ours, with the runner's commands switched off around it; a fresh random token each time, so
---that the text cannot switch them on again. They come on again even if `print_it` fails.
---@param print_it fun(write: fun(text: string))
---@param write? fun(text: string) where to, instead of standard output
function M.foreign(print_it, write)
  write = write or io_of.write
  local function say(text) write(safe(text)) end
  if M.provider() ~= "github" then
    print_it(say)
    return
  end
  local token, at_line_start = random_token(), true
  write("::stop-commands::" .. token .. "\n")
  local ok, err = pcall(print_it, function(text)
    if text == "" then return end
    at_line_start = text:sub(-1) == "\n"
    say(text)
  end)
  write((at_line_start and "" or "\n") .. "::" .. token .. "::\n")
  if not ok then error(err, 0) end
end

return M
