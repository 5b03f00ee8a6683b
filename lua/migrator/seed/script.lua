---The files of a tier that are programs: SQL, sent statement by statement, and Lua, which sees `seed`. Checked
---before, run later.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local kinds = require "migrator.plan.kinds"
local sandbox = require "migrator.sandbox"
local sql = require "migrator.core.sql"
local statements = require "migrator.journal.statements"

local M = {}

---The environment variables, to read.
function M.variables(config)
  local environment = config.environment
  return setmetatable({}, { __index = environment, __newindex = function() error("env is read-only", 2) end,
    __pairs = function() return pairs(environment) end })
end

local REFUSED = {
  control = "a tier is one transaction: %s would end it",
  rollback = "a tier is one transaction: %s would end it",
  outside = "%s cannot run in a transaction, and a tier is one",
  copy = "%s reads rows that psql would send: use a .csv file, or seed.copy",
  copy_out = "%s gives rows to psql, and nobody is there to take them",
}

local function is_savepoint(statement)
  return statement.words:find("^SAVEPOINT") or statement.words:find("^RELEASE")
    or (statement.words:find("^ROLLBACK") and statement.kind == "control")
end

local function fail_at(file, list, statement, message, hint)
  local line, column = statements.locate(list.source, statement, 1)
  errors.raise("config", { message = message, hint = hint, file = file.path, line = line, column = column,
    snippet = statements.line_at(list.source, line) })
end

---What a tier's SQL must not hold, as a sentence, or nil.
---@param statement migrator.Statement
---@return string|nil message, string|nil hint
function M.find_refusal(statement)
  statement.kind = kinds.of(statement)
  local what = kinds.title(statement)
  if REFUSED[statement.kind] and not is_savepoint(statement) then return REFUSED[statement.kind]:format(what) end
  if what == "TRUNCATE" then
    return "a tier empties only what it declares", "list the tables in `truncates` of the tier's declaration"
  end
end

local function read_sql(file)
  return statements.read({ path = file.path, text = function() return (sql.decode_utf8(fs.read(file.path))) end })
end

local function check_sql(file)
  local list = read_sql(file)
  for _, statement in ipairs(list) do
    local message, hint = M.find_refusal(statement)
    if message then fail_at(file, list, statement, message, hint) end
  end
end

---Reads SQL and Lua for what is wrong with it, before anything runs.
---@param tier migrator.Tier
function M.check(tier)
  for _, file in ipairs(tier.files) do
    if file.kind == "sql" then check_sql(file) end
    if file.kind == "lua" then sandbox.load(file.path, {}) end
  end
end

local function annotate(err, file, list, statement)
  if not errors.is(err) then return err end
  local line, column = statements.locate(list.source, statement, math.max(err.position or 1, 1))
  return errors.add(err, { file = file.path, line = line, column = column, snippet = statements.line_at(list.source,
    line),
    statement = statement.text })
end

---What an INSERT, UPDATE or DELETE did, into the counts. Whether an upsert created or updated only seed.upsert knows.
---@param counts migrator.SeedCounts
function M.count(counts, statement, result)
  local verb = statement.words:match("^%S+")
  if result.affected == 0 or not (verb == "INSERT" or verb == "UPDATE" or verb == "DELETE"
    or verb == "MERGE") then return end
  local text = statement.text:gsub("^%s*%a+%s+", "", 1):gsub("^[Ii][Nn][Tt][Oo]%s+", ""):gsub("^[Ff][Rr][Oo][Mm]%s+",
    "")
    :gsub("^[Oo][Nn][Ll][Yy]%s+", "")
  local name = text:match("^[%w_.\"]+") or "?"
  local field = "written"
  if verb == "DELETE" then
    field = "deleted"
  elseif verb == "INSERT" and not kinds.skeleton(statement.text):find("ON CONFLICT.*DO UPDATE") then
    field = "created"
  end
  counts:add(name:gsub('"', ""), field, result.affected)
end

---@param conn migrator.Conn
---@param file table
---@param counts migrator.SeedCounts
function M.run_sql(conn, file, counts)
  local list = read_sql(file)
  for _, statement in ipairs(list) do
    local ok, result = pcall(conn.exec, conn, statement.text)
    if not ok then error(annotate(result, file, list, statement), 0) end
    M.count(counts, statement, result)
  end
end

---@param path string
---@param globals table what it sees besides the safe standard library
---@param config migrator.Config
function M.run_lua(path, globals, config)
  local env = sandbox.new(globals, { folder = path:match("^(.*)/[^/]*$") or ".", unsafe = config.unsafe })
  return sandbox.load(path, env)()
end

return M
