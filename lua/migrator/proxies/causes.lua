---Why a proxy failed, recognised in its log. A catalogue is a list of causes, the most telling first: the first one
---whose pattern some line matches is the reason. `{1}` in its texts is the pattern's first capture.
local M = {}

---@class migrator.ProxyCause
---@field name string
---@field patterns string[] Lua patterns, each for one line
---@field why string
---@field hint? string
---@field passing? boolean may be over by itself, so that waiting goes on
---@field config? boolean the options are wrong: exit code 2, not 4

---@class migrator.ProxyReason: migrator.ProxyCause
---@field line string the line of the log that says so

local LINE_BYTES = 300 -- of a line that is shown: Google's errors hold whole pages
local SCAN_BYTES = 8192 -- of a line that is looked at

---What every program may say that listens on a port and dials another one.
---@type migrator.ProxyCause[]
M.COMMON = {
  { name = "port_in_use", patterns = { "listen tcp[46]? ([%w.:%[%]]+): bind: address already in use",
    "AF=2 ([%d.:]+)}.*[Aa]ddress already in use", "[Aa]ddress already in use", "EADDRINUSE" },
    why = "its port is in use by another program ({1})",
    hint = "stop that program (`ss -ltnp` names it), or leave `port` out: a free one is found" },
  { name = "port_forbidden", patterns = { "bind.*[Pp]ermission denied" },
    why = "it may not listen on that port", hint = "take a port above 1023" },
  { name = "no_such_host", patterns = { "lookup ([%w.%-]+).*: no such host",
    "[Cc]ould not resolve hostname ([%w.%-]+)",
    "getaddrinfo%(\"([^\"]+)\"", "Name or service not known", "Temporary failure in name resolution" },
    why = "a host name cannot be resolved ({1})", hint = "check the name, and that this machine's DNS knows it" },
  { name = "clock", patterns = { "x509: certificate has expired or is not yet valid" },
    why = "a certificate is not valid at this machine's time", hint = "set the clock of this machine (NTP)" },
  { name = "crashed", patterns = { "^panic: (.+)", "^fatal error: (.+)", "[Ss]egmentation fault" },
    why = "it crashed ({1})", hint = "try another version of it" },
}

-- A part in brackets goes with the capture that it is about.
local function fill(text, captures)
  if not text then return nil end
  local out = text:gsub("%s%b()", function(part)
    local index = part:match("{(%d)}")
    if index and not captures[tonumber(index)] then return "" end
  end)
  return (out:gsub("{(%d)}", function(index) return captures[tonumber(index)] or "…" end))
end

local function match(cause, lines)
  for _, pattern in ipairs(cause.patterns) do
    for i = #lines, 1, -1 do
      local found = table.pack(lines[i]:find(pattern))
      if found[1] then return lines[i], { table.unpack(found, 3, found.n) } end
    end
  end
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch("[^\r\n]+") do lines[#lines + 1] = line:sub(1, SCAN_BYTES) end
  return lines
end

---The reason that a log gives, the last line that names it counting.
---@param text string?
---@param catalogue? migrator.ProxyCause[] looked through before what is common to all
---@return migrator.ProxyReason? reason
function M.recognise(text, catalogue)
  if not text or text == "" then return nil end
  local lines = lines_of(text)
  for _, list in ipairs { catalogue or {}, M.COMMON } do
    for _, cause in ipairs(list) do
      local line, captures = match(cause, lines)
      if line then
        return { name = cause.name, why = fill(cause.why, captures), hint = fill(cause.hint, captures),
          passing = cause.passing, config = cause.config, line = line:match("^%s*(.*)"):sub(1, LINE_BYTES) }
      end
    end
  end
end

return M
