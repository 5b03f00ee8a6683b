---An error as people know it from compilers: where, what, the line with a caret, and what to do.
local M = {}

local function caret(err, out)
  if not err.snippet or not err.line then return end
  local number = tostring(err.line)
  local pad = (" "):rep(math.max(#number, 4))
  local snippet, column = err.snippet:gsub("\t", " "), err.column or 1
  if utf8.len(snippet) and utf8.len(snippet) > 160 then
    local first = math.max(1, column - 60)
    local last = math.min(utf8.len(snippet), first + 150)
    snippet = "…" .. snippet:sub(utf8.offset(snippet, first), utf8.offset(snippet, last + 1) - 1)
    column = column - first + 2
  end
  out[#out + 1] = (" "):rep(#pad - #number) .. number .. " | " .. snippet
  out[#out + 1] = pad .. " | " .. (" "):rep(column - 1) .. "^"
end

local function add_field(out, label, text)
  if not text or text == "" then return end
  for i, line in ipairs(M.lines(text)) do out[#out + 1] = (i == 1 and ("  %s: "):format(label) or "    ") .. line end
end

function M.lines(text)
  local out = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do out[#out + 1] = line end
  return out
end

---@param err migrator.Error
---@param verbose boolean
---@return string[] lines, the first without `error:`
function M.format(err, verbose)
  local out = { tostring(err) }
  caret(err, out)
  add_field(out, "detail", err.detail)
  add_field(out, "context", err.context)
  if err.step then add_field(out, "step", err.step) end
  add_field(out, "hint", err.hint)
  add_field(out, "state", err.state)
  add_field(out, "log", err.log)
  if err.traceback and (verbose or err.code == "internal" or err.code == "script") then
    add_field(out, "traceback", err.traceback)
  end
  return out
end

---@param sink migrator.Sink
---@param err migrator.Error
function M.print(sink, err)
  local lines = M.format(err, sink.verbose)
  sink:diagnostic("error", table.concat(lines, "\n"))
end

---The error for --json.
function M.document(err)
  local out = {}
  for _, key in ipairs { "code", "message", "sqlstate", "severity", "detail", "hint", "context", "position",
    "statement", "file",
    "line", "column", "snippet", "migration", "step", "state" } do
    out[key] = rawget(err, key)
  end
  return out
end

return M
