-- Connection strings to a table, by libpq's own grammar (the first `@` ends the user part, `+` is no blank, `#` starts
-- no fragment). No message quotes a value: a badly encoded password may have landed in any part.
local errors = require "migrator.error"
local text_of = require "migrator.lib.url_text"

local M = {}

local LONGEST_SCHEME = 12
local EXAMPLE = "write postgresql://USER:PASSWORD@HOST:5432/DATABASE"

local function refuse(why, hint)
  errors.raise("config", { message = "bad connection URL: " .. why, hint = hint })
end

local function clean(source, notices)
  if type(source) ~= "string" then refuse("expected a string", EXAMPLE) end
  local text = source:gsub("[\r\n]+$", "")
  if text ~= source then
    notices[#notices + 1] = "the connection URL ends in a line break, which was removed; store it without one"
  end
  if text:find("%c") then
    refuse("it contains a control character", "check the secret for a line break or a tab in the middle")
  end
  if text == "" then refuse("it is empty", EXAMPLE) end
  return text
end

local function refuse_scheme(text)
  if text:find("^%s") then refuse("it begins with a blank", "remove the blank before postgresql://") end
  if text:find("^[\"'`]") then refuse("it begins with a quote", "store the URL without quotes around it") end
  local scheme = text:match("^([%a][%w+.%-]*):")
  if not scheme then return end
  local low = scheme:lower()
  if low == "jdbc" then
    refuse("jdbc: URLs are Java's", EXAMPLE .. " (drop jdbc:, put user and password before the @)")
  end
  if low:find("^postgres%a*%+") then
    refuse(("the scheme %q names a Python driver"):format(scheme), "drop the part from the + on: postgresql://…")
  end
  if low:find("^prisma") then
    refuse("prisma: URLs lead to a Prisma service, not to PostgreSQL", "use the direct URL")
  end
  if low == "postgres" or low == "postgresql" then
    if scheme ~= low then refuse("the scheme must be in lower case", low .. "://…") end
    refuse("two slashes must follow the scheme", EXAMPLE)
  end
  if text:find("^[%a][%w+.%-]*://") or low == "mysql" or low == "sqlite" then
    local tame = scheme:find("^%l+$") and #scheme <= LONGEST_SCHEME -- else it may be a password that slipped there
    refuse(tame and ("%q is not a PostgreSQL scheme"):format(scheme) or "that is not a PostgreSQL scheme", EXAMPLE)
  end
end

local function check_port(port)
  local number = port:find("^%d+$") and math.tointeger(tonumber(port))
  if not number or number < 1 or number > 65535 then
    refuse("the port is not a number from 1 to 65535", "a / or : inside the password is written %2F or %3A")
  end
  return number
end

-- One `host[:port]`; answers it and the place after it.
local function host_at(text, at)
  local host, after
  if text:sub(at, at) == "[" then
    host, after = text:match("^%[([^%]]*)%]()", at)
    if not host then refuse("a [ in the host is never closed") end
    if host == "" then refuse("the IPv6 address is empty") end
    if not text:find("^[:/?,]", after) and after <= #text then refuse("unexpected text after the IPv6 address") end
  else
    host, after = text:match("^([^:/?,]*)()", at)
  end
  host = text_of.decode(host, "host")
  if host:find("@", 2, true) then
    refuse("the host contains an @", "an @ inside the password is written %40")
  end
  local port, next_at = text:match("^:([^/?,]*)()", after)
  if port and port ~= "" then port = check_port(text_of.decode(port, "port")) end
  return { host = host ~= "" and host or nil, port = port ~= "" and port or nil }, next_at or after
end

local function params_of(query)
  local params = {}
  for pair in query:gmatch("[^&]+") do
    local key, value = pair:match("^([^=]*)=(.*)$")
    if not key then refuse("a query parameter has no =") end
    if value:find("=", 1, true) then
      refuse("a query parameter has two =", "inside a value = is written %3D")
    end
    params[#params + 1] = { key = text_of.decode(key, "query"), value = text_of.decode(value, "query") }
  end
  return params
end

local function parse_uri(scheme, text, at)
  local t = { scheme = scheme, hosts = {} }
  local userinfo, after = text:match("^([^@/]*)@()", at)
  if userinfo then
    local user, password = userinfo:match("^([^:]*):(.*)$")
    user = text_of.decode(user or userinfo, "user")
    t.user = user ~= "" and user or nil
    t.password = password and password ~= "" and text_of.decode(password, "password") or nil
    at = after
  end
  repeat
    t.hosts[#t.hosts + 1], at = host_at(text, at)
    local again = text:sub(at, at) == ","
    if again then at = at + 1 end
  until not again
  local dbname, next_at = text:match("^/([^?]*)()", at)
  if dbname and dbname ~= "" then t.dbname = text_of.decode(dbname, "database name") end
  at = next_at or at
  t.params = params_of(text:match("^%?(.*)$", at) or "")
  return t
end

local function value_at(text, at)
  if text:sub(at, at) ~= "'" then
    local raw, after = "", at
    while after <= #text and not text:find("^%s", after) do
      if text:sub(after, after) == "\\" then after = after + 1 end
      raw, after = raw .. text:sub(after, after), after + 1
    end
    return raw, math.min(after, #text + 1) -- a backslash may have been the last character
  end
  local out, i = {}, at + 1
  while true do
    local c = text:sub(i, i)
    if c == "" then refuse("a quoted value is never closed") end
    if c == "'" then return table.concat(out), i + 1 end
    if c == "\\" then
      i = i + 1
      c = text:sub(i, i)
    end
    out[#out + 1] = c
    i = i + 1
  end
end

-- `host=h dbname='a b'`: everything becomes a parameter, as the names are libpq's own.
local function parse_pairs(text)
  local t = { scheme = "postgresql", hosts = {}, params = {}, is_pairs = true }
  local at = text:match("^%s*()")
  while at <= #text do
    local key, after = text:match("^([%w_]+)%s*=%s*()", at)
    if not key then refuse("it is neither postgresql://… nor key=value pairs", EXAMPLE) end
    local value
    value, at = value_at(text, after)
    t.params[#t.params + 1] = { key = key, value = value }
    at = text:match("^%s*()", at)
  end
  return t
end

---@class migrator.Url
---@field scheme string
---@field user? string
---@field password? string
---@field hosts {host: string?, port: integer?}[]
---@field dbname? string
---@field params {key: string, value: string}[] in the order written
---@field notices string[]

---Takes a connection URL, or key=value pairs, apart. Raises `config`; no message holds a value.
---@param source string
---@return migrator.Url
function M.parse(source)
  local notices = {}
  local text = clean(source, notices)
  local scheme, at = text:match("^(postgres)://()")
  if not scheme then scheme, at = text:match("^(postgresql)://()") end
  if not scheme then refuse_scheme(text) end
  local t = scheme and parse_uri(scheme, text, at) or parse_pairs(text)
  t.notices = notices
  return t
end

return M
