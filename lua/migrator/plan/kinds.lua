---What a statement is to a transaction, told from its leading key words. The words are sure where they say no; where they
---say yes for a reason further inside the statement, the text is looked at too.
local M = {}

---@alias migrator.Kind "plain"|"control"|"rollback"|"outside"|"copy"|"copy_out"

local CONTROL = { BEGIN = true, START = true, COMMIT = true, END = true, SAVEPOINT = true, RELEASE = true }
local OUTSIDE = {
  "^VACUUM ", "^CREATE DATABASE ", "^DROP DATABASE ", "^CREATE TABLESPACE ", "^DROP TABLESPACE ", "^ALTER SYSTEM ",
  "^CREATE INDEX CONCURRENTLY ", "^CREATE UNIQUE INDEX CONCURRENTLY ", "^DROP INDEX CONCURRENTLY ",
  "^CREATE SUBSCRIPTION ", "^DROP SUBSCRIPTION ", "^DISCARD ALL ", "^COMMIT PREPARED ", "^ROLLBACK PREPARED ",
}
local OUTSIDE_BY_WORD = {}
for _, pattern in ipairs(OUTSIDE) do
  local first = pattern:match("%a+")
  OUTSIDE_BY_WORD[first] = OUTSIDE_BY_WORD[first] or {}
  table.insert(OUTSIDE_BY_WORD[first], pattern)
end

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

---Is the option named in the parentheses behind the command, and not switched off there?
local function has_option(skeleton, name)
  local options = skeleton:match("^%s*%a+ ?(%b())") or ""
  for value in options:gmatch("[(,] ?" .. name .. " ?([^,)]*)") do
    value = value:match("^[= ]*(.-) *$")
    if value ~= "FALSE" and value ~= "OFF" and value ~= "0" then return true end
  end
  return false
end

-- The name of the relation behind REINDEX … TABLE or CLUSTER, unqualified.
local function relation_name(text, pattern)
  local name = M.without_comments(text):gsub("^(%a+) ?%b()", "%1"):match(pattern)
  name = name and name:gsub("^.*%.", "")
  if not name then return nil end
  return name:find('"', 1, true) and name:gsub('"', "") or name:lower()
end

-- Only of a partitioned relation are these refused; where they name it.
local PARTITIONED = { REINDEX = "^%a+%s+%a+%s+([^%s;(]+)", CLUSTER = "^%a+%s+([^%s;(]+)" }

local RULES = {}

function RULES.REINDEX(text)
  local skeleton = M.skeleton(text)
  local what = skeleton:gsub("^%s*REINDEX ?%b()", "REINDEX"):match("^%s*REINDEX (%a+)")
  if what == "DATABASE" or what == "SYSTEM" or what == "SCHEMA" then return true end
  local rest = skeleton:gsub("^%s*REINDEX ?%b()", "REINDEX")
  return has_option(skeleton, "CONCURRENTLY") or rest:find("^%s*REINDEX %a+ CONCURRENTLY ") ~= nil
end

---Without a table it goes through all of them, each in a transaction.
function RULES.CLUSTER(text)
  local rest = M.skeleton(text):gsub("^%s*CLUSTER ?%b()", "CLUSTER")
  return rest:find("^%s*CLUSTER ?;?%s*$") ~= nil or rest:find("^%s*CLUSTER VERBOSE ?;?%s*$") ~= nil
end
function RULES.REPACK(text)
  local skeleton = M.skeleton(text)
  local rest = skeleton:gsub("^%s*REPACK ?%b()", "REPACK")
  return has_option(skeleton, "CONCURRENTLY") or rest:find("^%s*REPACK ?;?%s*$") ~= nil
end

function RULES.ALTER(text, words)
  if words:find("^ALTER TABLE") then
    return text:upper():find("CONCURRENTLY", 1, true) ~= nil
      and M.skeleton(text):find("DETACH PARTITION .- CONCURRENTLY") ~= nil
  end
  if words:find("^ALTER DATABASE") then return M.skeleton(text):find("SET TABLESPACE", 1, true) ~= nil end
  if not words:find("^ALTER SUBSCRIPTION") then return false end
  local skeleton = M.skeleton(text)
  return skeleton:find(" REFRESH ") ~= nil or skeleton:find(" PUBLICATION ") ~= nil
    or skeleton:find(" SET %(.*FAILOVER") ~= nil or skeleton:find(" SET %(.*TWO_PHASE") ~= nil
end

function RULES.DO(text) return M.commits_inside(text) end

-- A slot cannot be made by a transaction that has written, and ours has.
function RULES.SELECT(text) return text:lower():find("pg_create_logical_replication_slot", 1, true) ~= nil end

local function is_outside(first, words, text)
  local patterns = OUTSIDE_BY_WORD[first]
  if patterns then
    local padded = words .. " "
    for _, pattern in ipairs(patterns) do
      if padded:find(pattern) then return true end
    end
  end
  local rule = RULES[first]
  return rule ~= nil and rule(text, words)
end

-- The indexes made so far: looked through only when something asks, since that is rare and indexes are many.
local INDEXES = "\0indexes"

local function table_of_index(partitioned, name)
  for _, text in ipairs(rawget(partitioned, INDEXES) or {}) do
    if relation_name(text, "^.-(%S+)%s+[Oo][Nn]%s") == name then
      return relation_name(text:gsub("%s[Oo][Nn][Ll][Yy]%s", " "), "%s[Oo][Nn]%s+([^%s(]+)")
    end
  end
end

---Notes what makes a partitioned table or an index.
local function note_made(statement, words, partitioned)
  if words:find("^CREATE INDEX") or words:find("^CREATE UNIQUE INDEX") then
    local list = rawget(partitioned, INDEXES) or {}
    list[#list + 1] = statement.text
    rawset(partitioned, INDEXES, list)
  elseif words:find("^CREATE .*TABLE") and statement.text:upper():find("PARTITION%s+BY")
    and M.skeleton(statement.text):find("PARTITION BY", 1, true) then
    local name = relation_name(statement.text, "^.-[Tt][Aa][Bb][Ll][Ee]%s+([^%s(]+)")
    if name and name:lower() == "if" then name = relation_name(statement.text,
      "[Ee][Xx][Ii][Ss][Tt][Ss]%s+([^%s(]+)") end
    if name then rawset(partitioned, name, true) end
  end
end

---Is it one that is refused in a transaction when its relation is partitioned, and is that?
---@param statement migrator.Statement
---@param partitioned table<string, boolean>
local function is_over_partitions(first, statement, partitioned)
  if first == "CREATE" then note_made(statement, statement.words, partitioned) end
  local pattern = PARTITIONED[first]
  local name = pattern and relation_name(statement.text, pattern)
  if not name then return false end
  if partitioned[name] then return true end
  local on = table_of_index(partitioned, name)
  return on ~= nil and partitioned[on] == true
end

---Does a procedural body end transactions of its own?
---@param text string
---@return boolean
function M.commits_inside(text)
  local body = text:match("%$([%w_]*)%$.*%$%1%$") and text:match("%$[%w_]*%$(.*)%$[%w_]*%$")
  if not body then
    local quoted = text:match("^[^$]-'(.*)'[^']*$")
    body = quoted and quoted:gsub("''", "'")
  end
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
---@param partitioned? table<string, boolean> partitioned tables and indexes, likewise
---@return migrator.Kind
function M.of(statement, procedures, partitioned)
  local words = statement.words
  local first = words:match("^%S+") or ""
  if procedures and first == "CREATE" and words:find(" PROCEDURE", 1, true) and M.commits_inside(statement.text) then
    local name = procedure_name(statement.text, "[Pp][Rr][Oo][Cc][Ee][Dd][Uu][Rr][Ee]")
    if name then procedures[name] = true end
  end
  if procedures and first == "CALL" then
    local name = procedure_name(statement.text, "^%s*[Cc][Aa][Ll][Ll]")
    if name and procedures[name] then return "outside" end
  end
  if is_outside(first, words, statement.text) then return "outside" end
  if partitioned and is_over_partitions(first, statement, partitioned) then return "outside" end
  if first == "ROLLBACK" or first == "ABORT" then
    return M.skeleton(statement.text):find("^%s*ROLLBACK [%a ]-TO ") and "control" or "rollback"
  end
  if first == "PREPARE" and words:find("^PREPARE TRANSACTION") then return "rollback" end
  if CONTROL[first] then return "control" end
  if first == "COPY" then
    local skeleton = M.skeleton(statement.text)
    if skeleton:find("%f[%a]FROM STDIN%f[%A]") then return "copy" end
    if skeleton:find("%f[%a]TO STDOUT%f[%A]") then return "copy_out" end
  end
  return "plain"
end

---What a message calls a statement.
---@return string
function M.title(statement)
  if statement.kind == "copy" then return "COPY FROM STDIN" end
  if statement.kind == "copy_out" then return "COPY TO STDOUT" end
  return statement.words:match("^%S+") or "this"
end

---Sets `kind` on each statement.
---@param list migrator.Statement[]
---@param known? migrator.Kind[] what the planner, which knows more of the database, found
function M.mark(list, known)
  for i, statement in ipairs(list) do statement.kind = known and known[i] or M.of(statement) end
  return list
end

return M
