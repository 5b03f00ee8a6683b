---The audit trail: one row for each run that changed something or failed, in our own schema. On by policy; off it costs
---nothing. The run itself never depends on it: what cannot be written is a warning.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local cut = require("migrator.lib.text").cut
local db = require "migrator.db"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local gate = require "migrator.seed.gate"
local hash = require "migrator.core.hash"
local host = require "migrator.core.host"
local mask = require "migrator.lib.mask"
local url = require "migrator.lib.url"

local M = {}

local GRACE = 5 -- seconds that writing the row may take when the run's own deadline is over
local LONGEST = 8000 -- bytes of an error's text

local EXISTS = [[select exists (select 1 from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'migrator' and c.relname = 'audit' and c.relkind = 'r')]]

-- Always: a session in the replica's role would pass by an ordinary trigger.
local CREATE = {
  -- IF NOT EXISTS alone wants the right to create schemas also when there is nothing to create.
  [[do $$ begin if not exists (select 1 from pg_catalog.pg_namespace where nspname = 'migrator') then
    create schema if not exists migrator; end if; end $$]],
  [[create table migrator.audit (id bigint generated always as identity primary key, run uuid not null,
    started_at timestamptz not null, finished_at timestamptz not null, command text not null, db_user text not null,
    actor text, commit text, ci_url text, environment text, applied jsonb not null,
    result text not null check (result in ('ok', 'failed')), error text, version text not null)]],
  [[create or replace function migrator.audit_append_only() returns trigger language plpgsql as $$ begin
    raise exception 'migrator.audit is append-only: % is refused', tg_op using errcode = 'insufficient_privilege';
    end $$]],
  [[create trigger audit_append_only before update or delete or truncate on migrator.audit
    for each statement execute function migrator.audit_append_only()]],
  "alter table migrator.audit enable always trigger audit_append_only",
}

local INSERT = [[insert into migrator.audit (run, started_at, finished_at, command, db_user, actor, commit, ci_url,
    environment, applied, result, error, version)
  values ($1::uuid, clock_timestamp() - make_interval(secs => $2::float8), clock_timestamp(), $3, session_user,
    nullif($4, ''), nullif($5, ''), nullif($6, ''), $7, $8::jsonb, $9, nullif($10, ''), $11)]]

---@class migrator.AuditItem
---@field kind "migration"|"script"|"tier"|"schema"|"environment"|"row"
---@field name string
---@field ms? integer

---@class migrator.AuditTrail
---@field run string a UUID
---@field command string
local Trail = {}
Trail.__index = Trail

local function uuid()
  local hex = hash.random_hex(16)
  return ("%s-%s-4%s-%x%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(14, 16),
    8 + tonumber(hex:sub(17, 17), 16) % 4, hex:sub(18, 20), hex:sub(21, 32))
end

local function first(environment, ...)
  for _, name in ipairs { ... } do
    local value = environment[name]
    if value and value ~= "" then return value end
  end
end

local function read_line(path)
  local ok, text = pcall(fs.read, path)
  return ok and text:match("^[^\n]+") or nil
end

---Who started it: the CI system's word, else the login of this machine.
---@param environment table<string, string>
---@return string
function M.actor(environment)
  local named = first(environment, "GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN")
  if named then return named end
  local status = select(2, pcall(fs.read, "/proc/self/status"))
  local user = first(environment, "USER", "LOGNAME") or "uid " .. (tostring(status):match("\nUid:%s+(%d+)") or "?")
  return user .. "@" .. (read_line("/proc/sys/kernel/hostname") or first(environment, "HOSTNAME") or "?")
end

---@return string|nil
function M.ci_url(environment)
  if environment.GITHUB_SERVER_URL and environment.GITHUB_REPOSITORY and environment.GITHUB_RUN_ID then
    local attempt = first(environment, "GITHUB_RUN_ATTEMPT")
    return ("%s/%s/actions/runs/%s"):format(environment.GITHUB_SERVER_URL, environment.GITHUB_REPOSITORY,
      environment.GITHUB_RUN_ID) .. (attempt and "/attempts/" .. attempt or "")
  end
  return first(environment, "CI_JOB_URL", "CI_PIPELINE_URL")
end

---Without secrets, and what any server takes: no NUL, whole characters.
local function clean(text, ascii)
  text = url.redact(mask.apply(text)):gsub("%z", "?")
  if ascii or not utf8.len(text) then text = text:gsub("[\128-\255]+", "?") end
  return text
end

local function encode(items, ascii)
  local out = {}
  for i, item in ipairs(items) do out[i] = { kind = item.kind, name = clean(item.name, ascii), ms = item.ms } end
  return #out == 0 and "[]" or cjson.encode(out)
end

---@param conn migrator.Conn
---@return boolean
function M.exists(conn) return conn:value(EXISTS) end

---A run's trail, or nil when the policy is off.
---@param config migrator.Config
---@param how { command: string, emit?: function, deadline?: number, marker?: string, run?: string, force?: boolean }
---@return migrator.AuditTrail|nil
function M.start(config, how)
  if not config.audit and not how.force then return nil end
  return setmetatable({ run = how.run or uuid(), command = how.command, started = clock.now(), config = config,
    deadline = how.deadline, emit = how.emit or function() end, marker = how.marker }, Trail)
end

---Adds the row, in a transaction of the caller or one of its own; raises when it cannot.
---@param conn migrator.Conn
---@param facts { applied: migrator.AuditItem[], error?: any }
---@param ascii? boolean
function Trail:insert(conn, facts, ascii)
  local function create()
    conn:exec("set local client_min_messages = warning")
    for _, statement in ipairs(CREATE) do conn:exec(statement) end
  end
  if not M.exists(conn) then
    if conn:status() == "transaction" then create() else conn:transaction(create) end
  end
  local environment, failed = self.config.environment, facts.error ~= nil
  local function text(value) return value and cut(clean(value, ascii), LONGEST, "...") or "" end
  conn:exec(INSERT, self.run, clock.now() - self.started, self.command, text(M.actor(environment)),
    text(first(environment, "GITHUB_SHA", "CI_COMMIT_SHA")), text(M.ci_url(environment)),
    self.marker or gate.environment(self.config).name,
    encode(facts.applied, ascii), failed and "failed" or "ok",
    failed and text(tostring(facts.error)) or "", host.version)
end

---Adds the row when there is something to tell; what goes wrong is a warning. The second try is for two runs that make
---the table at once, and for a database that cannot hold a text's letters.
---@param conn migrator.Conn|nil
---@param facts { applied: migrator.AuditItem[], error?: any, idle?: boolean }
function Trail:write(conn, facts)
  if not conn or (facts.idle and not facts.error and self.config.audit ~= "all") then return end
  local ok, err = pcall(function()
    if conn:status() ~= "idle" then errors.raise("connect", "the session is gone, or not at rest") end
    conn:set_deadline(clock.deadline(GRACE))
    if pcall(self.insert, self, conn, facts) then return end
    self:insert(conn, facts, true)
  end)
  if conn:status() ~= "closed" then pcall(conn.set_deadline, conn, self.deadline) end
  if not ok then
    self.emit("warning", { message = "the audit trail has no row of this run: " .. clean(tostring(err)) })
  end
end

local function ms(seconds) return math.floor((seconds or 0) * 1000 + 0.5) end

---What engine.migrate is to call when it is done, before it gives the session back; nil when the policy is off. A
---rehearsal leaves nothing behind, so no row either.
---@param config migrator.Config
---@param how { emit: function, deadline?: number, run?: string, force?: boolean }
---@return (fun(session: migrator.Session, result: table))|nil
function M.after_migrate(config, how)
  if config.rehearse then return nil end
  local trail = M.start(config, { command = "migrate", emit = how.emit, deadline = how.deadline, run = how.run,
    force = how.force })
  return trail and function(session, result)
    local list = {}
    for _, item in ipairs(result.outcome and result.outcome.applied or {}) do
      list[#list + 1] = { kind = "migration", name = item.entry.tag, ms = ms(item.elapsed) }
    end
    for _, item in ipairs(result.repeatable and result.repeatable.ran or {}) do
      list[#list + 1] = { kind = "script", name = item.path, ms = ms(item.elapsed) }
    end
    trail.marker = session.state.marker
    trail:write(session.conn, { applied = list, error = result.error, idle = #list == 0 })
  end
end

---Does fn, and writes the row whatever became of it. A refused confirmation or a wrong argument is no run.
---@param config migrator.Config
---@param how { command: string, conn: migrator.Conn, list: fun(value: any): (migrator.AuditItem[], boolean),
---  emit?: function, deadline?: number, marker?: string, run?: string, force?: boolean } list: of what fn returned or
---  raised, and whether nothing was changed
---@param fn fun(): any
---@return any
function M.around(config, how, fn)
  local trail = M.start(config, how)
  if not trail then return fn() end
  local ok, value = pcall(fn)
  if ok or not errors.is(value, "usage") then
    local list, idle = how.list(value)
    trail:write(how.conn, { applied = list, error = not ok and value or nil, idle = idle })
  end
  if not ok then error(value, 0) end
  return value
end

---The list for M.around of a run of seeds: of its results, or of the error that carries those of the tiers before.
---@param value any
---@return migrator.AuditItem[] list, boolean idle
function M.of_seeds(value)
  local results, list, idle = errors.is(value) and (rawget(value, "results") or {}) or value, {}, true
  if type(results) ~= "table" then results = {} end
  for i, result in ipairs(results) do
    list[i] = { kind = "tier", name = result.tier, ms = ms(result.elapsed) }
    if #result.counts.order == 0 then idle = false end -- it did what is not counted
    for _, counts in pairs(result.tables) do
      for field, n in pairs(counts) do idle = idle and (field == "unchanged" or n == 0) end
    end
  end
  return list, idle
end

---The newest rows, the newest first; nil where there is no trail.
---@param conn migrator.Conn
---@param count integer
---@return table[]|nil
function M.history(conn, count)
  if not M.exists(conn) then return nil end
  local rows = conn:exec([[select id, run::text, to_char(started_at at time zone 'UTC', $2) as started_at,
    to_char(finished_at at time zone 'UTC', $2) as finished_at,
    round(extract(epoch from finished_at - started_at) * 1000)::int8 as duration_ms, command, db_user, actor, commit,
    ci_url, environment, applied::text, result, error, version
    from migrator.audit order by id desc limit $1::int8]], count, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  for _, row in ipairs(rows) do
    for key, value in pairs(row) do
      if value == db.null then row[key] = nil end
    end
    row.applied = cjson.decode(row.applied)
    for _, item in ipairs(row.applied) do item.ms = item.ms and math.tointeger(item.ms) end
  end
  return rows
end

return M
