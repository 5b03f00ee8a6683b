-- Connection URLs: taking apart, putting together, turning toward a proxy, and what libpq may be told of them.
local lazy = require "migrator.lib.lazy"
local errors = require "migrator.error"
local parse = require "migrator.lib.url_parse"
local path = require "migrator.lib.url_path"
local suggest = lazy.require "migrator.lib.suggest"
local text_of = require "migrator.lib.url_text"

local M = {
  parse = parse.parse, encode = text_of.encode, redact = text_of.redact, is_loopback = text_of.is_loopback,
}

local function set_of(words)
  local set = {}
  for word in words:gmatch("%S+") do set[word] = true end
  return set
end

---What libpq 15 understands.
M.KNOWN = {}
for word in ([[service user password passfile channel_binding connect_timeout dbname host hostaddr port client_encoding
  options application_name fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count
  tcp_user_timeout sslmode sslcompression sslcert sslkey sslpassword sslrootcert sslcrl sslcrldir sslsni requirepeer
  ssl_min_protocol_version ssl_max_protocol_version gssencmode krbsrvname gsslib replication
  target_session_attrs]]):gmatch("%S+") do
  M.KNOWN[#M.KNOWN + 1] = word
end

-- Meant for the pools and clients of Prisma, node-postgres, Rails and Django, never for the server.
local FOREIGN = set_of [[schema pgbouncer connection_limit pool_timeout statement_cache_size socket_timeout sslaccept
  sslidentity single_use_connections uselibpqcompat prepared_statements pool pool_size pool_mode max_connections
  statement_timeout_ms conn_max_age]]

-- Of a newer libpq; an older one does without them and is none the weaker.
local OPTIONAL = set_of [[sslnegotiation load_balance_hosts]]

-- Leaving these out would weaken what the URL asks for.
local NEWER = { require_auth = 16, sslcertmode = 16, gssdelegation = 17, min_protocol_version = 18,
  max_protocol_version = 18, require_channel_binding = 18 }

local SSLMODES = set_of "disable allow prefer require verify-ca verify-full"

-- About the way to the server that the URL names; wrong for the way through a proxy.
local OF_THE_PATH = set_of [[host hostaddr port sslmode sslcompression sslcert sslkey sslpassword sslrootcert sslcrl
  sslcrldir sslsni ssl_min_protocol_version ssl_max_protocol_version channel_binding sslnegotiation requirepeer
  gssencmode gssdelegation krbsrvname gsslib target_session_attrs load_balance_hosts service passfile sslcertmode]]

local ORDER = { "user", "password", "host", "hostaddr", "port", "dbname" }

local function refuse(why, hint)
  errors.raise("config", { message = "bad connection URL: " .. why, hint = hint })
end

local function join(hosts, field)
  local list, any = {}, false
  for i, entry in ipairs(hosts) do
    list[i] = entry[field] and tostring(entry[field]) or ""
    any = any or list[i] ~= ""
  end
  return any and table.concat(list, ",") or nil
end

local function translate_ssl(param)
  if param.key ~= "ssl" then return param.key, param.value end
  if param.value == "true" then return "sslmode", "require" end
  refuse("ssl= takes only the value true", "write sslmode=disable, sslmode=require or sslmode=verify-full")
end

local function refuse_key(key, known)
  if NEWER[key] then refuse(("%q needs libpq %d or newer"):format(key, NEWER[key])) end
  -- What has a digit or a sign in it may be the tail of a password that was not encoded.
  local hint = suggest.hint(key, known)
  local shown = (hint or (key:find("^[%a_]+$") and #key < 40)) and ("%q"):format(key) or "in the query"
  refuse("unknown parameter " .. shown, hint)
end

local function check_sslmode(value)
  if value == nil or SSLMODES[value] then return end
  refuse("unknown sslmode", value == "no-verify" and "no-verify is node-postgres's; libpq's word is sslmode=require"
    or "one of disable, allow, prefer, require, verify-ca, verify-full")
end

-- libpq compares the lists only when it dials; a wrong one is said here, before anything has begun.
local function count(value)
  local _, commas = value:gsub(",", "")
  return commas + 1
end

local function check_lists(kw)
  local hosts = kw.host or kw.hostaddr
  local n = hosts and count(hosts) or 1
  if kw.host and kw.hostaddr and count(kw.hostaddr) ~= n then refuse("host and hostaddr differ in number") end
  if not kw.port or kw.port == "" then return end
  local ports = count(kw.port)
  if ports ~= 1 and ports ~= n then refuse(("%d ports for %d hosts"):format(ports, n)) end
  for port in (kw.port .. ","):gmatch("([^,]*),") do
    local number = port == "" and 1 or (port:find("^%s*%d+%s*$") and tonumber(port) or 0)
    if number < 1 or number > 65535 then refuse("the port is not a number from 1 to 65535") end
  end
end

local function is_linked(key)
  for _, name in ipairs(path.linked and path.linked() or {}) do
    if name == key then return true end
  end
  return false
end

local function collect(t, known, kw, info)
  local names = {}
  for _, name in ipairs(known) do names[name] = true end
  for _, param in ipairs(t.params) do
    local key, value = translate_ssl(param)
    if names[key] then
      kw[key] = value
    elseif not FOREIGN[key] and is_linked(key) then
      kw[key] = value
    elseif FOREIGN[key] or OPTIONAL[key] then
      info.ignored[key] = value
      info.order[#info.order + 1] = key
    else
      refuse_key(key, known)
    end
  end
end

---What libpq may be told: keywords and values, later ones winning, query parameters over the authority, as in libpq.
---`info.ignored` holds parameters of other programs that were set aside. Raises `config`.
---@param source string|migrator.Url
---@param known? string[] keywords of the linked libpq
---@return table<string, string> keywords
---@return {ignored: table<string, string>, notices: string[]} info
function M.conninfo(source, known)
  local t = type(source) == "table" and source or M.parse(source)
  local info = { ignored = {}, order = {}, notices = { table.unpack(t.notices or {}) } }
  local kw = { user = t.user, password = t.password, dbname = t.dbname, host = join(t.hosts, "host"),
    port = join(t.hosts, "port") }
  collect(t, known or M.KNOWN, kw, info)
  check_sslmode(kw.sslmode)
  check_lists(kw)
  if #info.order > 0 then
    info.notices[#info.notices + 1] = "not for PostgreSQL, set aside: " .. table.concat(info.order, ", ")
  end
  return kw, info
end

local function format_host(entry)
  local host = entry.host or ""
  if host:find("^%x*:[%x:.]*$") or host:find("^%x*:[%x:.]*%%[%w_.-]+$") then
    host = "[" .. host:gsub("%%", "%%25") .. "]"
  else
    host = text_of.encode(host)
  end
  return entry.port and host .. ":" .. tostring(entry.port) or host
end

---A URL of the table that `url.parse` makes; everything but unreserved characters is percent-encoded.
---@param t migrator.Url
---@return string
function M.format(t)
  local out = { t.scheme or "postgresql", "://" }
  if t.user or t.password then
    out[#out + 1] = text_of.encode(t.user or "")
    if t.password then out[#out + 1] = ":" .. text_of.encode(t.password) end
    out[#out + 1] = "@"
  end
  local hosts, params = {}, {}
  for i, entry in ipairs(t.hosts or {}) do hosts[i] = format_host(entry) end
  out[#out + 1] = table.concat(hosts, ",")
  if t.dbname then out[#out + 1] = "/" .. text_of.encode(t.dbname) end
  for i, param in ipairs(t.params or {}) do
    params[i] = text_of.encode(param.key) .. "=" .. text_of.encode(param.value)
  end
  if #params > 0 then out[#out + 1] = "?" .. table.concat(params, "&") end
  return table.concat(out)
end

local function split_hosts(kw)
  local hosts, ports = {}, {}
  for port in ((kw.port or "") .. ","):gmatch("([^,]*),") do ports[#ports + 1] = tonumber(port) or false end
  for host in ((kw.host or "") .. ","):gmatch("([^,]*),") do
    local i = #hosts + 1
    hosts[i] = { host = host ~= "" and host or nil, port = (#ports == 1 and ports[1] or ports[i]) or nil }
  end
  return hosts
end

local function check_plain(hosts, sslmode)
  if sslmode ~= "disable" then return end
  for _, entry in ipairs(hosts) do
    if not M.is_loopback(entry.host) then
      errors.raise("config", {
        message = "refusing sslmode=disable toward a host that is not this machine",
        hint = "only the way to a local proxy may go without TLS; use sslmode=require or verify-full",
      })
    end
  end
end

-- Parameters in a fixed order, so that the same input gives the same URL.
local function add_params(params, values, skip)
  local names = {}
  for name in pairs(values) do
    if not skip[name] then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do params[#params + 1] = { key = name, value = values[name] } end
end

local OPTIONS = { "host", "port", "sslmode", "user", "password", "dbname", "params", "keep_ignored", "known" }

local function check_options(opts)
  for key in pairs(opts) do
    local ok = false
    for _, name in ipairs(OPTIONS) do ok = ok or name == key end
    if not ok then
      errors.raise("config", { message = ("url.rewrite: unknown option %q"):format(tostring(key)),
        hint = suggest.hint(tostring(key), OPTIONS) })
    end
  end
end

local function warn_lost(kw, info, host)
  if host and kw.host and kw.host:find(",", 1, true) then
    info.notices[#info.notices + 1] = "several hosts in the connection URL: all of them are replaced by the new one"
  end
  if kw.service then
    info.notices[#info.notices + 1] = "service= was dropped: what the service file says does not apply"
  end
end

---The URL turned toward another address, by default without TLS, as a local proxy wants it. All that belongs to the old
---way (hostaddr, several hosts, TLS files, channel binding, …) goes; user, password, database and options stay.
---Raises `config` when sslmode=disable would leave this machine.
---@param source string
---@param opts {host?: string, port?: integer, sslmode?: string, params?: table<string, string>, keep_ignored?: boolean}
---@return string url
---@return {ignored: table<string, string>, notices: string[]} info
function M.rewrite(source, opts)
  check_options(opts)
  local kw, info = M.conninfo(source, opts.known)
  local sslmode = opts.sslmode or "disable"
  check_sslmode(sslmode)
  local hosts = split_hosts(kw)
  if opts.host then
    hosts = { { host = opts.host, port = opts.port or hosts[1].port } }
  elseif opts.port then
    for _, entry in ipairs(hosts) do entry.port = opts.port end
  end
  check_plain(hosts, sslmode)
  warn_lost(kw, info, opts.host)
  local skip = { user = true, password = true, dbname = true }
  for name in pairs(OF_THE_PATH) do skip[name] = true end
  local params = {}
  add_params(params, kw, skip)
  if opts.keep_ignored then add_params(params, info.ignored, OF_THE_PATH) end
  params[#params + 1] = { key = "sslmode", value = sslmode }
  params[#params + 1] = { key = "gssencmode", value = "disable" }
  add_params(params, opts.params or {}, {})
  return M.format {
    scheme = "postgresql", hosts = hosts, params = params, user = opts.user or kw.user,
    password = opts.password or kw.password, dbname = opts.dbname or kw.dbname,
  }, info
end

---Who and where, for a log line: user, host and database, never the password or the parameters.
---@param source string
---@return string
function M.describe(source)
  local kw = M.conninfo(source)
  local parts = {}
  for _, key in ipairs(ORDER) do
    if key ~= "password" and kw[key] then parts[#parts + 1] = key .. "=" .. kw[key] end
  end
  return table.concat(parts, " ")
end

return M
