-- Who may call whom: every #include and every require against the table of rooms. An offending line is named.
local fs = require "migrator.core.fs"

local problems = 0

local function report(path, line, format, ...)
  problems = problems + 1
  io.stdout:write(("%s:%d: "):format(path, line), format:format(...), "\n")
end

local function words(text)
  local out = {}
  for word in text:gmatch("%S+") do out[#out + 1] = word end
  return out
end

local function walk(folder, ending, visit)
  for _, name in ipairs(fs.list(folder)) do
    local path = folder .. "/" .. name
    if fs.find(path).type == "directory" then
      walk(path, ending, visit)
    elseif path:find(ending) then
      visit(path)
    end
  end
end

local function each_line(path, visit)
  local number = 0
  for line in (fs.read(path) .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    visit(line, number)
  end
end

-- C: a room may include itself and what is named here. `own` are the outside libraries, each of them in one driver
-- alone.
local C_ROOMS = {
  base = { may = "" },
  pg = { may = "base", own = "libpq-fe.h" },
  sql = { may = "base", own = "pg_query.h" },
  proc = { may = "base" },
  http = { may = "base", own = "curl/curl.h" },
  hash = { may = "base",
    own = "openssl/err.h openssl/evp.h openssl/hmac.h openssl/pem.h openssl/rand.h openssl/sha.h" },
  fs = { may = "base" },
  bind = { may = "base pg sql proc http hash fs", lua = true },
  host = { may = "base bind migrator.h", lua = true },
  main = { may = "host" },
}

local OWNER = {}
for room, rules in pairs(C_ROOMS) do
  for _, header in ipairs(words(rules.own or "")) do OWNER[header] = room end
end
-- bind.h's users see libpq's types through db.h; including the library itself stays the driver's business.
local LUA_HEADERS = { ["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true, ["lua-cjson.h"] = true }

local function check_quoted(path, line, room, header)
  local target = header:match("^(%w+)/") or header
  if target == room then return end
  for _, name in ipairs(words(C_ROOMS[room].may)) do
    if name == target then return end
  end
  report(path, line, "src/%s may not include %s", room, header)
end

local function check_c(path)
  local room = path:match("^src/(%w+)/") or "main"
  if not C_ROOMS[room] then
    return report(path, 1, "the room src/%s is not in the table of scripts/dev/arch.lua", room)
  end
  each_line(path, function(text, line)
    local quoted, outside = text:match('^%s*#%s*include%s+"(.-)"'), text:match("^%s*#%s*include%s+<(.-)>")
    if quoted then check_quoted(path, line, room, quoted) end
    if outside and LUA_HEADERS[outside] and not C_ROOMS[room].lua then
      report(path, line, "src/%s may not see Lua: an error would jump over its frames", room)
    end
    if outside and OWNER[outside] and OWNER[outside] ~= room then
      report(path, line, "<%s> belongs to src/%s", outside, OWNER[outside])
    end
  end)
end

-- Lua: the first room whose pattern fits a module's name is its own. All but `lib` and `policy` may also use core.*,
-- the C modules; everybody lib.* and error. `%` is any name of the same folder.
local LUA_ROOMS = {
  { "lib%.", "", pure = true },
  { "error", "", pure = true },
  { "options", "", pure = true },
  { "commands", "", pure = true },
  { "policy", "policy%.", pure = true },
  { "env", "" }, { "ci", "" }, { "confirm", "" }, { "sandbox", "" }, { "db", "" },
  { "proxies", "proxies proxies%." }, { "proxy", "proxies%." },
  { "secrets", "secrets%. ci gcp web" },
  { "web", "" }, { "gcp", "gcp gcp%. ci web" },
  { "config", "env options" },
  { "verify", "verify%. policy%.verify db" },
  { "journal", "journal%." },
  { "tracking", "" }, { "progress", "" }, { "ledger", "progress tracking" }, { "server", "server%. tracking" },
  { "baseline", "" },
  { "marker", "seed%.gate" }, { "deployed", "seed%.gate" }, { "identity", "" },
  { "gate", "plan%.classify engine marker" },
  { "repair", "baseline journal%. ledger tracking" },
  { "changes", "changes%." },
  { "sink", "sink sink%. ci" },
  { "report", "sink plan%.locks journal%.statements" },
  { "plan", "plan%. journal%.statements progress tracking server db sink policy%." },
  { "repeatable", "journal%.statements plan%.kinds" },
  { "rls", "rls rls%. db" },
  { "alembic", "" },
  { "apply", "apply%. db plan%.headers plan%.kinds plan%.locks journal%.statements progress tracking policy%." },
  { "engine", "apply apply%. config db deployed journal marker plan plan%. policy%. aftermath run_lock server tracking "
    .. "repeatable" },
  { "ephemeral", "ephemeral%. db" },
  { "drift", "drift drift%. config db engine ephemeral ephemeral%. plan%.classify repeatable sink" },
  { "reader", "" }, { "readiness", "db" }, { "aftermath", "server" }, { "run_lock", "server" },
  { "crash", "crash crash%. config db engine ephemeral ephemeral%. options plan%.kinds sink tracking" },
  { "doctor", "doctor%. db engine identity marker plan plan%. server tracking journal" },
  { "seed", "seed%. db engine ephemeral journal%.statements plan%.kinds sandbox sink config rls%." },
  { "audit", "db seed%.gate" },
  { "reset", "reset%. audit confirm db engine marker plan repeatable seed seed%. sink" },
  { "specs", "sink" },
  { "pipeline", "config" },
  { "steps", "steps%. audit reset reset%. ci changes db doctor drift drift%. engine gate gcp identity proxies "
    .. "proxies%. proxy report secrets seed plan%.classify reader readiness sink%. verify policy%. server alembic "
    .. "repeatable rls" },
  { "cli", "commands options" },
  { "prelude", "changes ci config confirm db drift%. engine env gcp identity secrets journal pipeline policy proxy "
    .. "sandbox seed sink steps verify rls%." },
  { "app", ".*" },
  { "main", ".*" },
}

local function fits(name, patterns)
  for _, pattern in ipairs(words(patterns)) do
    if name:find("^" .. pattern .. "$") or (pattern:sub(-2) == "%." and name:find("^" .. pattern)) then return true end
  end
  return false
end

local function room_of(name)
  for _, room in ipairs(LUA_ROOMS) do
    if name:find("^" .. room[1] .. "$") or name:find("^" .. room[1]:gsub("%%%.$", "") .. "%.") then return room end
  end
end

local graph = {}

local function check_require(path, line, from, to)
  local room = room_of(from)
  graph[from] = graph[from] or {}
  table.insert(graph[from], { to = to, path = path, line = line })
  if not room then return end
  if to == "error" or to:find("^lib%.") then return end
  if to:find("^core%.") then
    if room.pure then report(path, line, "%s may not do I/O: it requires %s", from, to) end
    return
  end
  if from:find("^steps%.") and to:find("^steps%.") and to ~= "steps.options" then
    return report(path, line, "a step may not require another step: %s", to)
  end
  if not fits(to, room[2]) then report(path, line, "%s may not require %s", from, to) end
end

local function check_lua(path)
  local from = path:gsub("^lua/migrator/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  if not room_of(from) then report(path, 1, "%s is in no room of scripts/dev/arch.lua", from) end
  each_line(path, function(text, line)
    if text:find("^%s*%-%-") then return end
    for to in text:gmatch('require%s*%(?%s*"migrator%.([%w_.]+)"') do
      to = to:gsub("%.$", "")
      if to ~= "app" and not (from == "steps" and to == "steps") then check_require(path, line, from, to) end
    end
  end)
end

-- Layer 2 of the verification shares no code with the runner, not even through somebody else.
local RUNNER = "journal plan apply tracking server engine seed"

local function check_independence(from, chain, seen)
  for _, edge in ipairs(graph[from] or {}) do
    local top = edge.to:match("^[^.]+")
    if fits(top, RUNNER) then
      report(edge.path, edge.line, "the verification must not reach the runner: %s -> %s", chain, edge.to)
    elseif not seen[edge.to] then
      seen[edge.to] = true
      check_independence(edge.to, chain .. " -> " .. edge.to, seen)
    end
  end
end

walk("src", "%.[ch]$", check_c)
walk("lua/migrator", "%.lua$", check_lua)
for name in pairs(graph) do
  if name == "verify" or name:find("^verify%.") then check_independence(name, name, {}) end
end
if problems > 0 then
  io.stdout:write(("arch: %d line%s out of place\n"):format(problems, problems == 1 and "" or "s"))
  return 1
end
return 0
