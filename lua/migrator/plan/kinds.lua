---What a statement is to a transaction, told from its leading key words. The words are sure where they say no; where they
---say yes for a reason further inside the statement, the text is looked at too.
local M = {}

---@alias migrator.Kind "plain"|"control"|"rollback"|"outside"|"copy"

local CONTROL = { BEGIN = true, START = true, COMMIT = true, END = true, SAVEPOINT = true, RELEASE = true }
local OUTSIDE = {
  "^VACUUM ", "^CREATE DATABASE ", "^DROP DATABASE ", "^CREATE TABLESPACE ", "^DROP TABLESPACE ", "^ALTER SYSTEM ",
  "^CREATE INDEX CONCURRENTLY ", "^CREATE UNIQUE INDEX CONCURRENTLY ", "^DROP INDEX CONCURRENTLY ",
  "^REINDEX DATABASE ", "^REINDEX SYSTEM ", "^REINDEX SCHEMA ", "^CREATE SUBSCRIPTION ", "^DROP SUBSCRIPTION ",
}

---The statement without comments and the insides of quotes, upper case: enough to look for a key word in.
---@param text string
---@return string
function M.skeleton(text)
  text = text:gsub("%-%-[^\n]*", " "):gsub("/%*.-%*/", " ")
  text = text:gsub("%$([%w_]*)%$.-%$%1%$", "''"):gsub("'[^']*'", "''"):gsub('"[^"]*"', '"'):upper()
  return (text:gsub("%s+", " "))
end

---The text without comments and with every run of blanks as one, quotes left as they are: equal for two texts that the server
---cannot tell apart. Good enough to call an edit cosmetic, not to run anything.
---@param text string
---@return string
function M.without_comments(text)
  local out, at = {}, 1
  while at <= #text do
    local from = text:find("[%-/'\"$%s]", at)
    if not from then break end
    if from > at then out[#out + 1] = text:sub(at, from - 1) end
    local rest_at = M.skip(text, from)
    local what = text:sub(from, rest_at - 1)
    local blank = what:find("^%s") or what:find("^%-%-") or what:find("^/%*")
    if blank then
      if out[#out] ~= " " then out[#out + 1] = " " end
    else
      out[#out + 1] = what
    end
    at = rest_at
  end
  out[#out + 1] = text:sub(at)
  return table.concat(out):match("^%s*(.-)%s*$")
end

---The byte behind the blank, comment, quote or single character at `from`.
function M.skip(text, from)
  local two = text:sub(from, from + 1)
  if two == "--" then return (text:find("\n", from, true) or #text) + 1 end
  if two == "/*" then
    local depth, at = 1, from + 2
    while depth > 0 do
      local found, _, mark = text:find("([/*][*/])", at)
      if not found then return #text + 1 end
      if mark == "/*" then depth = depth + 1 elseif mark == "*/" then depth = depth - 1 end
      at = found + ((mark == "/*" or mark == "*/") and 2 or 1)
    end
    return at
  end
  local quote = text:sub(from, from)
  if quote == "'" or quote == '"' then return (text:find(quote, from + 1, true) or #text) + 1 end
  local tag = text:match("^%$[%a_\128-\255]?[%w_\128-\255]*%$", from)
  if tag then
    local _, last = text:find(tag, from + #tag, true)
    return (last or #text) + 1
  end
  return from + 1
end

local function is_outside(words, text)
  for _, pattern in ipairs(OUTSIDE) do
    if (words .. " "):find(pattern) then return true end
  end
  if words:find("^REINDEX") then return M.skeleton(text):find("CONCURRENTLY", 1, true) ~= nil end
  if words:find("^CLUSTER$") then return true end
  if words:find("^ALTER TABLE") then return M.skeleton(text):find("DETACH PARTITION .- CONCURRENTLY") ~= nil end
  if words:find("^ALTER DATABASE") then return M.skeleton(text):find("SET TABLESPACE", 1, true) ~= nil end
  if words:find("^ALTER SUBSCRIPTION") then
    return M.skeleton(text):find(" REFRESH ") ~= nil or M.skeleton(text):find(" PUBLICATION ") ~= nil
  end
  if words:find("^DO") then return M.commits_inside(text) end
  return false
end

---Does a procedural body end transactions of its own?
---@param text string
---@return boolean
function M.commits_inside(text)
  local body = text:match("%$([%w_]*)%$.*%$%1%$") and text:match("%$[%w_]*%$(.*)%$[%w_]*%$")
  if not body then return false end
  body = ";" .. body:gsub("%-%-[^\n]*", " "):gsub("/%*.-%*/", " "):gsub("'[^']*'", "''"):upper()
  return body:find("[;%s]COMMIT%s*;") ~= nil or body:find("[;%s]ROLLBACK%s*;") ~= nil
    or body:find("[;%s]COMMIT%s+AND%s+") ~= nil
end

---The name of the procedure that a statement makes or calls, as far as reading goes: unqualified, lower case.
local function procedure_name(text, key_word)
  local name = M.without_comments(text):match(key_word .. "%s+([^%s%(]+)%s*%(")
  return name and name:gsub("^.*%.", ""):gsub('"', ""):lower()
end

---@param statement migrator.Statement
---@param procedures? table<string, boolean> those that end transactions, by name; what this statement makes is added
---@return migrator.Kind
function M.of(statement, procedures)
  local words = statement.words
  if procedures and words:find("^CREATE.* PROCEDURE") and M.commits_inside(statement.text) then
    local name = procedure_name(statement.text, "[Pp][Rr][Oo][Cc][Ee][Dd][Uu][Rr][Ee]")
    if name then procedures[name] = true end
  end
  if procedures and words:find("^CALL") then
    local name = procedure_name(statement.text, "^%s*[Cc][Aa][Ll][Ll]")
    if name and procedures[name] then return "outside" end
  end
  local first = words:match("^%S+")
  if first == "ROLLBACK" or first == "ABORT" then
    return M.skeleton(statement.text):find("^%s*ROLLBACK [%a ]-TO ") and "control" or "rollback"
  end
  if first == "PREPARE" and words:find("^PREPARE TRANSACTION") then return "rollback" end
  if CONTROL[first] then return "control" end
  if first == "COPY" and M.skeleton(statement.text):find("%f[%a]FROM STDIN%f[%A]") then return "copy" end
  if is_outside(words, statement.text) then return "outside" end
  return "plain"
end

---Sets `kind` on each statement.
---@param list migrator.Statement[]
function M.mark(list)
  for _, statement in ipairs(list) do statement.kind = M.of(statement) end
  return list
end

return M
