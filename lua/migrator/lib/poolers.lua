---Poolers by name: what the address of a database tells before anything is asked of it. Data, so that another provider
---is another entry. The mode is "unknown" where it is the customer's to set: then only trying tells.
local errors = require "migrator.error"
local text_of = require "migrator.lib.url_text"

local M = {}

---@class migrator.Pooler
---@field name string
---@field mode "transaction"|"session"|"unknown"
---@field host? string pattern of the host's name
---@field port? integer
---@field parameter? string that the URL has, with the value true
---@field direct? fun(at: migrator.Address): migrator.Address|nil the server behind it
---@field session? fun(at: migrator.Address): migrator.Address the same pooler in session mode
---@field hint? string what cannot be said as an address

---@class migrator.Address
---@field host? string
---@field port? integer
---@field user? string
---@field dbname? string
---@field parameters? table<string, string>

local function with(at, changes)
  local out = { host = at.host, port = at.port, user = at.user, dbname = at.dbname }
  for key, value in pairs(changes) do out[key] = value end
  return out
end

local function on_port(port)
  return function(at) return with(at, { port = port }) end
end

-- The user of the shared pooler is ROLE.REF, of the server only ROLE.
local function of_supabase(at)
  local role, ref = (at.user or ""):match("^(.+)%.([%w-]+)$")
  return ref and with(at, { host = ("db.%s.supabase.co"):format(ref), port = 5432, user = role }) or nil
end

local IPV6 = "that host has an IPv6 address only, unless the project has the IPv4 add-on"

---@type migrator.Pooler[] the first that fits is it
M.known = {
  { name = "Supabase's pooler", mode = "transaction", host = "%.pooler%.supabase%.com$", port = 6543,
    direct = of_supabase, session = on_port(5432), hint = IPV6 },
  { name = "Supabase's pooler", mode = "session", host = "%.pooler%.supabase%.com$", port = 5432,
    direct = of_supabase },
  { name = "Supabase's dedicated pooler", mode = "transaction", host = "^db%.[%w-]+%.supabase%.co$", port = 6543,
    direct = on_port(5432), hint = IPV6 },
  { name = "Neon's pooler", mode = "transaction", host = "^[^.]+%-pooler%.[%w.-]+%.neon%.tech$",
    direct = function(at) return with(at, { host = (at.host:lower():gsub("^([^.]+)%-pooler%.", "%1.")) }) end },
  { name = "Prisma Postgres' pooler", mode = "transaction", host = "^pooled%.db%.prisma%.io$",
    direct = function(at) return with(at, { host = "db.prisma.io" }) end },
  { name = "PlanetScale's PgBouncer", mode = "transaction", host = "%.psdb%.cloud$", port = 6432,
    direct = on_port(5432) },
  { name = "Azure's PgBouncer", mode = "unknown", host = "%.postgres%.database%.[%w.]+$", port = 6432,
    direct = on_port(5432) },
  { name = "DigitalOcean's connection pool", mode = "unknown", host = "%.ondigitalocean%.com$", port = 25061,
    direct = on_port(25060), hint = "there the database goes by its own name, not by the pool's" },
  { name = "Crunchy Bridge's PgBouncer", mode = "unknown", host = "%.postgresbridge%.com$", port = 5431,
    direct = on_port(5432) },
  { name = "RDS Proxy", mode = "unknown", host = "%.proxy%-%w+%.[%w-]+%.rds%.amazonaws%.com[.cn]*$",
    hint = "use the endpoint of the instance or of the cluster (writer)" },
  { name = "PgBouncer, or Cloud SQL's managed connection pool", mode = "unknown", port = 6432,
    direct = on_port(5432) },
  { name = "a pooler of whom the URL says pgbouncer=true", mode = "unknown", parameter = "pgbouncer",
    hint = "use the URL of the server itself (often DIRECT_URL)" },
}

local function fits(entry, at)
  if entry.port and entry.port ~= at.port then return false end
  if entry.host and not (at.host and at.host:lower():gsub("%.$", ""):find(entry.host)) then return false end
  return not entry.parameter or (at.parameters or {})[entry.parameter] == "true"
end

---What the address is the address of, or nil when it says nothing of a pooler.
---@param at migrator.Address
---@return migrator.Pooler|nil
function M.find(at)
  for _, entry in ipairs(M.known) do
    if fits(entry, at) then return entry end
  end
  return nil
end

---The addresses in what libpq is told, several when several hosts are named.
---@param words table<string, string>
---@param parameters? table<string, string> those that are not libpq's
---@return migrator.Address[]
function M.addresses(words, parameters)
  local ports, out = {}, {}
  for port in ((words.port or "") .. ","):gmatch("([^,]*),") do ports[#ports + 1] = tonumber(port) or 5432 end
  for host in ((words.host or words.hostaddr or "") .. ","):gmatch("([^,]*),") do
    out[#out + 1] = { host = host ~= "" and host or nil, port = #ports == 1 and ports[1] or ports[#out + 1] or 5432,
      user = words.user, dbname = words.dbname, parameters = parameters }
  end
  return out
end

---An address as a URL without a password, to be read by a person.
---@param at migrator.Address
---@return string
function M.describe(at)
  local host = (at.host or ""):find(":", 1, true) and "[" .. at.host .. "]" or at.host or ""
  return ("postgresql://%s%s:%d%s"):format(at.user and text_of.encode(at.user) .. "@" or "", host, at.port or 5432,
    at.dbname and "/" .. text_of.encode(at.dbname) or "")
end

---What to connect to instead.
---@param entry migrator.Pooler|nil
---@param at migrator.Address
---@return string
function M.advise(entry, at)
  local direct, session = entry and entry.direct and entry.direct(at), entry and entry.session and entry.session(at)
  local out = {}
  if direct then
    out[1] = ("use the server itself, %s%s"):format(M.describe(direct),
      entry.hint and " (" .. entry.hint .. ")" or "")
  end
  if session then
    out[#out + 1] = (direct and "or " or "use ") .. "the pool in session mode, " .. M.describe(session)
  end
  if #out == 0 and entry and entry.hint then out[1] = entry.hint end
  return #out > 0 and table.concat(out, ", ")
    or "connect to the server itself (usually port 5432) or to a pool in session mode"
end

---Refuses an address whose mode is no question. Raises `config`.
---@param words table<string, string> what libpq is told
---@param parameters? table<string, string>
function M.insist(words, parameters)
  for _, at in ipairs(M.addresses(words, parameters)) do
    local entry = M.find(at)
    if entry and entry.mode == "transaction" then
      errors.raise("config", { message = ("%s port %d is %s, a transaction-mode pooler: locks and settings would be "
        .. "lost"):format(at.host, at.port, entry.name), hint = M.advise(entry, at), state = "nothing was changed" })
    end
  end
end

return M
