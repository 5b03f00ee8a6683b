---Layer 2: the independent check. Shares no code with the runner but the libpq driver: another reader of the journal
---(PostgreSQL's JSON parser), another SHA-256 (PostgreSQL's), a session of its own in a READ ONLY transaction. A spec
---walks the `require`s of this folder and fails when they reach the runner's.
local catalog = require "migrator.verify.catalog"
local db = require "migrator.db"
local errors = require "migrator.error"
local host = require "migrator.core.host"
local mask = require "migrator.lib.mask"
local policies = require "migrator.policy.verify"
local reader = require "migrator.verify.reader"

local M = {}

---@class migrator.VerifyFacts
---@field database string
---@field table string of the tracking rows
---@field tracked boolean whether that table is there
---@field entries migrator.VerifyEntry[] in the journal's order
---@field rows { id: integer, hash: string, created_at: integer|nil }[] by id
---@field invalid_indexes { name: string, table: string, building: boolean }[]
---@field not_validated { name: string, table: string }[]
---@field allow { edited: boolean } what the project permits on purpose

---@class migrator.Verdict
---@field ok boolean
---@field policy string
---@field database integer rows in the tracking table
---@field expected integer entries in the journal
---@field findings migrator.VerifyFinding[]
---@field server { version: string, database: string, user: string, host: string }
local Verdict = {}
Verdict.__index = Verdict

local SHOWN = 10
local SEVERITIES = { error = true, warning = true, info = true }

-- Failing verdicts that nobody has acknowledged. The host's exit code looks here, so that a pcall cannot swallow one.
local pending = {}

local function log_to_stderr(severity, text) host.write("stderr", mask.apply(severity .. ": " .. text .. "\n")) end

---Takes a failing verdict off the list that makes the run fail, for a reason that is logged.
---@param reason string
function Verdict:acknowledge(reason)
  if type(reason) ~= "string" or not reason:find("%S") then error("acknowledge needs a reason", 2) end
  for i, verdict in ipairs(pending) do
    if verdict == self then
      table.remove(pending, i)
      self.log("warning", ("a failed verification was acknowledged (%s): %s"):format(reason, self:summary()))
      return
    end
  end
end

---The first error, or the line of success.
function Verdict:summary()
  for _, finding in ipairs(self.findings) do
    if finding.severity == "error" then return finding.message end
  end
  return ("Verified: database has all %d migrations."):format(self.expected)
end

---The failing verdicts of this process that were not acknowledged.
---@return migrator.Verdict[]
function M.pending_failures() return table.move(pending, 1, #pending, 1, {}) end

local function find_policy(policy)
  if type(policy) == "function" then
    for name, ready in pairs(policies) do
      if ready == policy then return policy, name end
    end
    return policy, "function"
  end
  policy = policy or "strict"
  if rawget(policies, policy) == nil then
    errors.raise("config", { message = ("no verify policy %q"):format(tostring(policy)),
      hint = "count, set, strict, or a function" })
  end
  return policies[policy], policy
end

local function gather(conn, opts)
  local facts = { allow = opts.allow or {} }
  local names = conn:row([[select pg_catalog.current_database()::text as database, current_user::text as user,
    pg_catalog.format('%I.%I', $1::text, $2::text) as table]], opts.schema or "drizzle",
    opts.table or "__drizzle_migrations")
  facts.database, facts.user, facts.table = names.database, names.user, names.table
  facts.entries, facts.journal = reader.read(conn, opts.dir)
  facts.tracked, facts.rows = catalog.rows(conn, opts.schema or "drizzle", opts.table or "__drizzle_migrations")
  local recorded, changed = {}, {}
  for _, row in ipairs(facts.rows) do recorded[row.hash] = true end
  for _, entry in ipairs(facts.entries) do
    if #facts.rows > 0 and not recorded[entry.hash] then changed[#changed + 1] = entry end
  end
  reader.add_line_endings(conn, changed)
  facts.invalid_indexes = catalog.invalid_indexes(conn)
  facts.not_validated = catalog.not_validated(conn)
  return facts
end

local function judge(policy, name, facts)
  local ok, findings = xpcall(policy, function(value) return errors.wrap(value, "script") end, facts)
  if not ok then error(findings, 0) end
  if type(findings) ~= "table" then
    errors.raise("script", { message = ("the verify policy %s returned a %s, not a list of findings"):format(name,
      type(findings)) })
  end
  for i, finding in ipairs(findings) do
    if type(finding) ~= "table" or not SEVERITIES[finding.severity] or type(finding.message) ~= "string" then
      errors.raise("script", { message = ("finding %d of the verify policy %s has no severity or no message"):format(i,
        name), hint = "severity is error, warning or info" })
    end
  end
  if #findings == 0 and next(findings) ~= nil then
    errors.raise("script", { message = ("the verify policy %s returned one finding, not a list of them"):format(name) })
  end
  return findings
end

---@class migrator.VerifyOptions
---@field url string|table
---@field dir string
---@field schema? string
---@field table? string
---@field policy? "count"|"set"|"strict"|fun(facts: migrator.VerifyFacts): migrator.VerifyFinding[]
---@field allow? { edited?: boolean }
---@field connect? table options of db.connect
---@field deadline? number when there are no such options
---@field take? fun(): migrator.Conn a session of its own that M.connect_later began to open
---@field log? fun(severity: string, text: string)

local function connect_options(opts)
  return opts.connect or { deadline = opts.deadline, application_name = "migrator verify" }
end

---Begins to open the session, so that `run` need not wait for it: give it `take`.
---@param opts migrator.VerifyOptions
---@return fun(): migrator.Conn take
function M.connect_later(opts) return db.connect_later(opts.url, connect_options(opts)) end

local function look(opts, take)
  local conn <close> = take and take() or db.connect(opts.url, connect_options(opts))
  local facts = conn:transaction(function() return gather(conn, opts) end, { isolation = "repeatable read",
    read_only = true })
  return facts, conn:info()
end

---Gathers the facts and lets the policy judge them. Raises only when that cannot be done; see `check`.
---@param opts migrator.VerifyOptions
---@return migrator.Verdict
function M.run(opts)
  local policy, name = find_policy(opts.policy)
  local looked, facts, info = pcall(look, opts, opts.take)
  if not looked and opts.take and errors.is(facts, "connect") then -- the early session did not live to be used
    looked, facts, info = pcall(look, opts)
  end
  if not looked then error(facts, 0) end
  local verdict = setmetatable({ ok = true, policy = name, database = #facts.rows, expected = #facts.entries,
    findings = judge(policy, name, facts), log = opts.log or log_to_stderr,
    server = { version = info.version, database = facts.database, user = facts.user, host = info.host } }, Verdict)
  for _, finding in ipairs(verdict.findings) do
    if finding.severity == "error" then verdict.ok = false end
  end
  if not verdict.ok then pending[#pending + 1] = verdict end
  return verdict
end

---Raises `verify` unless the verdict is good. The verdict is in the error, and stays on the list of failures.
---@param verdict migrator.Verdict
---@return migrator.Verdict
function M.insist(verdict)
  if verdict.ok then return verdict end
  local first, others, left = nil, {}, 0
  for _, finding in ipairs(verdict.findings) do
    if finding.severity == "error" and not first then
      first = finding
    elseif finding.severity == "error" and #others < SHOWN then
      others[#others + 1] = finding.message
    elseif finding.severity == "error" then
      left = left + 1
    end
  end
  if left > 0 then others[#others + 1] = ("and %d more"):format(left) end
  errors.raise("verify", { message = first.message, detail = #others > 0 and table.concat(others, "\n") or nil,
    verdict = verdict,
    hint = "`migrator status` shows each entry and what can be done about it" })
end

---@param opts migrator.VerifyOptions
---@return migrator.Verdict
function M.check(opts) return M.insist(M.run(opts)) end

return M
