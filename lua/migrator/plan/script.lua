---A Plan as one script that psql runs to the same end state, tracking rows included. Only what a run keeps for itself
---(the schema `migrator`, where a statement-wise file notes its progress) is left out: a script that failed outside a
---transaction cannot resume.
local headers = require "migrator.plan.headers"
local sql = require "migrator.core.sql"
local tracking_table = require "migrator.tracking"

local M = {}

local Script = {}
Script.__index = Script

function Script:put(format, ...)
  self[#self + 1] = select("#", ...) > 0 and format:format(...) or format
end

---Verbatim; a semicolon of its own line where the text might end in a comment.
function Script:statement(text)
  local tail = text:match("[^\n]*$")
  self[#self + 1] = text .. (tail:find("--", 1, true) and "\n;" or ";")
end

local GUARD = [[
DO $migrator$ BEGIN
  IF (SELECT %s FROM %s) <> %s THEN
    RAISE EXCEPTION 'the tracking table is not as it was when this script was made' USING
      HINT = 'make it again: migrator plan --sql';
  END IF;
END $migrator$;]]

-- pg_advisory_lock would wait inside a statement, with a snapshot that CREATE INDEX CONCURRENTLY waits for in turn.
local RUN_LOCK = [[
DO $migrator$ BEGIN
  IF NOT pg_catalog.pg_try_advisory_lock(%d) THEN RAISE EXCEPTION 'another run holds the migration lock'; END IF;
END $migrator$;]]

function Script:guard()
  local check = tracking_table.digest_check(self.tracking)
  local digest = check:match("^select case when (.*) = %$1 then")
  self:put("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE;", self.tracking.name)
  self:put(GUARD, digest, self.tracking.name, sql.quote_literal(tracking_table.digest(self.rows)))
end

function Script:create()
  if self.tracked then return end
  if not self.has_schema then self:put("%s;", self.tracking.create_schema) end
  self:put("%s;", self.tracking.create_table)
  self.tracked = true
end

function Script:record(entry)
  self:put('INSERT INTO %s ("hash", "created_at") VALUES (%s, %d);', self.tracking.name, sql.quote_literal(entry.hash),
    entry.when)
  self.rows[#self.rows + 1] = { hash = entry.hash, created_at = entry.when }
end

---What the file's headers set for it alone. `scope` is LOCAL inside a transaction.
function Script:enter(item, scope)
  for _, setting in ipairs(headers.settings(item.headers)) do
    self:put("SELECT pg_catalog.current_setting('%s') AS migrator_before_%s \\gset", setting.name, setting.name)
    self:put("SET %s%s = '%s';", scope, setting.name, setting.value)
  end
end

function Script:leave(item, scope)
  for _, setting in ipairs(headers.settings(item.headers)) do
    self:put("SET %s%s = :'migrator_before_%s';", scope, setting.name, setting.name)
  end
end

function Script:transaction(segment)
  self:put("BEGIN;")
  self:create()
  self:guard()
  for _, item in ipairs(segment.items) do
    self:put("\n-- %s", item.entry.path)
    self:enter(item, "LOCAL ")
    for _, statement in ipairs(item.statements) do self:statement(statement.text) end
    self:leave(item, "LOCAL ")
    self:record(item.entry)
  end
  self:put("COMMIT;")
end

---@return boolean open whether a transaction is open behind the statement
local function after_control(statement, open)
  local words = statement.words
  if words:find("^BEGIN") or words:find("^START") then return true end
  if words:find("^COMMIT") or words:find("^END") then
    return words:find("AND CHAIN", 1, true) ~= nil
  end
  return open
end

-- CONCURRENTLY waits without blocking anybody: a lock_timeout would only leave an INVALID index.
function Script:concurrently(statement)
  self:put("SELECT pg_catalog.current_setting('lock_timeout') AS migrator_lock_timeout \\gset")
  self:put("SET lock_timeout = 0;")
  self:statement(statement.text)
  self:put("SET lock_timeout = :'migrator_lock_timeout';")
end

function Script:statements(segment)
  local item = segment.items[1]
  local open = false
  self:put("-- statement by statement: %s", segment.reason or "")
  self:put("BEGIN;")
  self:create()
  self:guard()
  self:put("COMMIT;")
  self:put("\n-- %s", item.entry.path)
  self:enter(item, "")
  for _, statement in ipairs(item.statements) do
    if statement.kind == "control" then open = true end
  end
  if open then self:put("BEGIN;") end
  for _, statement in ipairs(item.statements) do
    local concurrent = statement.words:find("CONCURRENTLY", 1, true)
    if concurrent then self:concurrently(statement) else self:statement(statement.text) end
    if statement.kind == "control" then open = after_control(statement, open) end
  end
  if not open then self:put("BEGIN;") end
  self:guard()
  self:record(item.entry)
  self:put("COMMIT;")
  self:leave(item, "")
end

local function milliseconds(seconds) return ("%dms"):format(math.tointeger(seconds * 1000 // 1)) end

function Script:head(plan, opts)
  self:put("-- %d migration(s) for psql: psql -X -v ON_ERROR_STOP=1 -f FILE", #plan.pending)
  self:put("-- made for a database that has %d of %d; it refuses to run on another.", plan.applied, plan.expected)
  self:put("\\set ON_ERROR_STOP on")
  self:put("\\set AUTOCOMMIT on")
  self:put("SET client_encoding = 'UTF8';")
  self:put("SET lock_timeout = '%s';", milliseconds(opts.lock_timeout))
  if opts.statement_timeout > 0 then self:put("SET statement_timeout = '%s';", milliseconds(opts.statement_timeout)) end
  self:put(RUN_LOCK, self.tracking.key)
end

---@param plan migrator.Plan with its statements kept
---@param session migrator.Session
---@param opts { lock_timeout: number, statement_timeout: number }
---@return string
function M.run(plan, session, opts)
  local script = setmetatable({ tracking = session.tracking, tracked = session.state.tracked,
    has_schema = session.state.has_schema,
    rows = table.move(session.rows, 1, #session.rows, 1, {}) }, Script)
  local segments = plan.segments
  if #segments == 0 and not script.tracked then segments = { { kind = "transaction", items = {} } } end
  script:head(plan, opts)
  for number, segment in ipairs(segments) do
    script:put("\n-- part %d of %d", number, #segments)
    script[segment.kind](script, segment)
  end
  return table.concat(script, "\n") .. "\n"
end

return M
