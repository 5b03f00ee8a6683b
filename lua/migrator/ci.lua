-- What a CI system wants said in its own way: annotations, groups, masks, outputs. Elsewhere the same calls print plain
-- lines. Text of others (a proxy's log, a server's message) goes through `foreign`, or the runner would obey it.
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

---One workflow command, escaped.
---@param name string
---@param properties table<string, string|number>
---@param message string
---@return string
function M.command(name, properties, message)
  local list = {}
  for _, key in ipairs(PROPERTIES) do
    local value = properties[key]
    if value ~= nil and value ~= "" then list[#list + 1] = key .. "=" .. escape_property(value) end
  end
  local head = #list > 0 and name .. " " .. table.concat(list, ",") or name
  return "::" .. head .. "::" .. escape_data(message) .. "\n"
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
  local masked = {}
  for key, value in pairs(note) do masked[key] = type(value) == "string" and mask.apply(value) or value end
  note = masked
  if M.provider() == "github" then
    io_of.write(M.command(level, note, note.message))
  else
    io_of.write(plain(level, note))
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

local function percent_encode(text)
  return (text:gsub("[^%w%-%._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

---Hides a value in all that is printed from now on, and tells the runner to: each of its lines, plain and
---percent-encoded, and what else `mask` looks for. Only GitHub can; elsewhere nothing is printed, as the line itself would
---be the leak.
---@param value string
function M.mask(value)
  mask.add(value)
  if M.provider() ~= "github" then return end
  local said = {}
  local function say(text)
    if text ~= "" and not said[text] and not text:find("[\r\n]") then
      said[text] = true
      io_of.write("::add-mask::" .. escape_data(text) .. "\n")
    end
  end
  for line in value:gmatch("[^\r\n]+") do
    say(line)
    say(percent_encode(line))
  end
  if value:find("[\r\n]") then say(percent_encode(value)) end
  for _, form in ipairs(mask.forms(value)) do say(form) end
end

local function random_token()
  return require("migrator.core.hash").random_hex(16)
end

local function append(path, text)
  require("migrator.core.fs").append(path, text)
end

local function heredoc(name, value)
  local delimiter = "migrator_" .. random_token()
  if value:find(delimiter, 1, true) then
    errors.raise("internal", { message = "step output: the value contains the delimiter" })
  end
  return ("%s<<%s\n%s\n%s\n"):format(name, delimiter, value, delimiter)
end

---Gives the step an output, for later steps and jobs to read. Raises `config` for an impossible name.
---@param name string
---@param value string|number|boolean
function M.output(name, value)
  if not name:find("^[%a_][%w_%-]*$") then
    errors.raise("config", { message = ("step output: %q cannot be a name"):format(name) })
  end
  value = tostring(value)
  local path = M.provider() == "github" and io_of.getenv("GITHUB_OUTPUT")
  if not path or path == "" then
    io_of.write(name .. "=" .. value .. "\n")
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
    io_of.write(markdown)
    return
  end
  local file = require("migrator.core.fs").find(path)
  local room = SUMMARY_LIMIT - (file and file.size or 0)
  if #markdown > room then
    local note = "\n\n(cut off: the summary is limited to 1 MiB)\n"
    local keep = math.max(0, room - #note)
    while keep > 0 and markdown:find("^[\128-\191]", keep + 1) do keep = keep - 1 end
    markdown = keep > 0 and markdown:sub(1, keep) .. note or ""
  end
  if markdown ~= "" then append(path, markdown) end
end

---Prints text that is not ours, with the runner's commands switched off around it; a fresh random token each time, so
---that the text cannot switch them on again. They come on again even if `print_it` fails.
---@param print_it fun(write: fun(text: string))
---@param write? fun(text: string) where to, instead of standard output
function M.foreign(print_it, write)
  write = write or io_of.write
  if M.provider() ~= "github" then
    print_it(write)
    return
  end
  local token, at_line_start = random_token(), true
  write("::stop-commands::" .. token .. "\n")
  local ok, err = pcall(print_it, function(text)
    if text == "" then return end
    at_line_start = text:sub(-1) == "\n"
    write(text)
  end)
  write((at_line_start and "" or "\n") .. "::" .. token .. "::\n")
  if not ok then error(err, 0) end
end

return M
