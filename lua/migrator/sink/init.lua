---Where everything that a person or a program reads goes out: results to standard output, diagnostics to standard
---error, every byte past the mask of secrets.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local host = require "migrator.core.host"
local mask = require "migrator.lib.mask"

local M = {}

local CODES = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33", cyan = "36" }

local Sink = {}
Sink.__index = Sink

---@param config migrator.Config|table
---@return migrator.Sink
function M.new(config)
  local environment = config.environment or {}
  local plain = config.no_color or (environment.NO_COLOR or "") ~= "" or environment.TERM == "dumb"
  local self = setmetatable({ json_mode = config.json, quiet = config.quiet, verbose = config.verbose,
    log_json = config.log == "json" }, Sink)
  self.color = { stdout = not plain and host.terminal("stdout") ~= nil, stderr = not plain
    and host.terminal("stderr") ~= nil }
  self.columns = host.terminal("stderr")
  self.github = environment.GITHUB_ACTIONS == "true"
  self.environment = environment
  if (config.report or "") ~= "" then self:begin_report(config.report) end
  if (config.deadline or 0) > 0 then
    self.limit = { at = clock.deadline(config.deadline), seconds = config.deadline }
  end
  return self
end

---@param stream "stdout"|"stderr"
---@param text string
---@param masked? boolean it has been through the mask
function Sink:write(stream, text, masked)
  if stream == "stderr" and self.progress_shown then
    host.write("stderr", "\r\27[K")
    self.progress_shown = false
  end
  if not host.write(stream, masked and text or mask.apply(text)) and stream == "stdout" then self.broken = true end
end

---@param stream "stdout"|"stderr"
function Sink:paint(stream, color, text)
  if not self.color[stream] then return text end
  return "\27[" .. CODES[color] .. "m" .. text .. "\27[0m"
end

-- What was said may be a server's or a file's words, which the runner must not take for commands. Secrets go first:
-- what is taken apart is not found any more.
local function defuse(self, text)
  return self.github and require("migrator.ci").defuse(mask.apply(text)) or text
end

-- The runner looks for `##[` anywhere in a line; in JSON there is another way to write it.
local function write_json(self, stream, value)
  self:write(stream, M.encode_masked(value):gsub("##%[", "#\\u0023[") .. "\n", true)
end

---A line of the result; none with --json or --quiet.
function Sink:line(text)
  if self.json_mode or self.quiet then return end
  self:clear_progress()
  if self.log_json then
    write_json(self, "stdout", { level = "info", message = text })
  else
    self:write("stdout", defuse(self, text) .. "\n")
  end
end

local UNFINISHED = { error = { code = "internal", message = "the run did not come to its end" } }

---The file of --report. Until the run has its document, it says that there is none: an older run's report is never taken
---for this one's, and a place that cannot be written to is known before anything is done.
function Sink:begin_report(path)
  local file = require "migrator.sink.file"
  file.check(path, "--report")
  file.write_json(path, UNFINISHED)
  self.report = path
end

local function keep_report(self, value)
  local ok, err = pcall(require("migrator.sink.file").write_json, self.report, value)
  if ok then return end
  if not (value.failed or value.error) then error(err, 0) end
  self:diagnostic("warning", "--report: " .. tostring(err))
end

---The one document of --json and of --report.
---@param value table
---@param only_kept? boolean not for --json
function Sink:document(value, only_kept)
  self.documented = true
  if self.report then keep_report(self, value) end
  if self.json_mode and not only_kept then write_json(self, "stdout", value) end
end

local SEVERITY = { error = "red", warning = "yellow", notice = "cyan", info = "cyan", debug = "dim" }

---@param severity "error"|"warning"|"notice"|"info"|"debug"
function Sink:diagnostic(severity, text)
  if severity == "debug" and not self.verbose then return end
  if self.quiet and severity ~= "error" then return end
  if self.log_json then
    write_json(self, "stderr", { level = severity, message = text })
    return
  end
  self:write("stderr", self:paint("stderr", SEVERITY[severity], severity .. ":") .. " " .. defuse(self, text) .. "\n")
end

---A line that the next output replaces; only on a terminal.
---@return boolean shown
function Sink:progress(text)
  if not self.columns or self.quiet or self.log_json then return false end
  if utf8.len(text) and utf8.len(text) >= self.columns then
    text = text:sub(1, utf8.offset(text, self.columns - 1) - 1)
  end
  host.write("stderr", "\r\27[K" .. mask.apply(text))
  self.progress_shown = true
  return true
end

function Sink:clear_progress()
  if not self.progress_shown then return end
  host.write("stderr", "\r\27[K")
  self.progress_shown = false
end

-- In columns of a terminal, near enough: colours take none.
local function visible(cell)
  local plain = cell:gsub("\27%[%d*m", "")
  return utf8.len(plain) or #plain
end

---Rows as aligned columns; the first row is the head.
function Sink:table(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, visible(cell)) end
  end
  for number, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      cells[i] = i < #row and cell .. (" "):rep(widths[i] - visible(cell)) or cell
    end
    local text = table.concat(cells, "  "):gsub("%s+$", "")
    self:line(number == 1 and self:paint("stdout", "dim", text) or text)
  end
end

local ARRAY = {}

---Marks a list, so that an empty one is [] and not {}.
function M.array(list) return setmetatable(list or {}, ARRAY) end

local encode_value

-- cjson writes a slash as `\/`. Escapes are taken in pairs, so that the backslash of `\\` is never half of another one.
local function encode_string(text) return (cjson.encode(text):gsub("\\(.)", { ["/"] = "/" })) end

local function encode_table(value, clean)
  local out = {}
  if getmetatable(value) == ARRAY or #value > 0 then
    for i, item in ipairs(value) do out[i] = encode_value(item, clean) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do
    out[i] = encode_string(clean(tostring(key))) .. ":" .. encode_value(value[key], clean)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

function encode_value(value, clean)
  if type(value) == "table" then return encode_table(value, clean) end
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if type(value) ~= "string" then return cjson.encode(value) end
  value = clean(value)
  return encode_string(utf8.len(value) and value or value:gsub("[\128-\255]", "?"))
end

local function as_it_is(text) return text end

---JSON with sorted keys and whole 64-bit integers.
function M.encode(value) return encode_value(value, as_it_is) end

---The same without secrets. Those are texts: what looks like one in a number (a password of digits) is none, and stars
---there would be no JSON.
function M.encode_masked(value) return encode_value(value, mask.apply) end

return M
