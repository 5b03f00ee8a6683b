---Has the database what this checkout's code needs? Read-only, without a lock, one round trip after connecting. Decided
---entry by entry, never by counts. A database that is ahead may have dropped what this code uses: it will do only for who
---asks for a tag by name, or allows `missing`.
local classify = require "migrator.plan.classify"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local marker = require "migrator.marker"
local suggest = require "migrator.lib.suggest"

local M = {}

---@class migrator.GateVerdict
---@field ok boolean
---@field required string|nil tag; nil when the journal has no entry
---@field needed integer entries up to and with it
---@field applied integer of those
---@field lacking { tag: string, state: string }[] of those
---@field ahead integer rows that no entry of this checkout explains
---@field stale boolean they close the gate
---@field server table
---@field round_trips integer after connecting

---What of a row counts: `moved` has the same hash, `baseline` was recorded by hand in place of one.
local THERE = { applied = true, moved = true, baseline = true }

---The place of the required entry: the newest, unless a tag is named. Raises `usage` for a tag that the journal lacks.
---@param journal migrator.Journal
---@param tag string|nil
---@return integer
function M.find(journal, tag)
  if not tag then return #journal.entries end
  local tags = {}
  for i, entry in ipairs(journal.entries) do
    if entry.tag == tag then return i end
    tags[i] = entry.tag
  end
  errors.raise("usage", { message = ("the journal has no migration %q"):format(tag), file = journal.path,
    hint = suggest.hint(tag, tags) or "is this the checkout that is going to be deployed? `migrator status --all` "
    .. "lists what it has" })
end

---Pure: what of the first `upto` entries the rows do not explain.
---@param entries migrator.Entry[]
---@param rows migrator.Row[]
---@return { tag: string, state: string }[] lacking, integer ahead
function M.judge(entries, rows, upto)
  local found, lacking = classify.run(entries, rows), {}
  for i = 1, upto do
    local item = found.items[i]
    if not THERE[item.state] then lacking[#lacking + 1] = { tag = item.entry.tag, state = item.state } end
  end
  return lacking, #found.missing
end

---A replica may be behind its primary, or be one no more: what it holds proves nothing about where the code will write.
local function check_server(config, state)
  if state.standby then
    errors.raise("config", { message = "the server is a read-only standby: what it has proves nothing of the primary",
      hint = "use the primary's address" })
  end
  marker.check(config, state)
end

---@param config migrator.Config
---@param opts { require?: string, deadline?: number }
---@return migrator.GateVerdict
function M.check(config, opts)
  local journal = engine.journal(config)
  local upto = M.find(journal, opts.require)
  local session = engine.open(config, { deadline = opts.deadline })
  local _ <close> = session.conn
  check_server(config, session.state)
  local lacking, ahead = M.judge(journal.entries, session.rows, upto)
  local stale = ahead > 0 and not opts.require and config.missing ~= "allow"
  return { ok = #lacking == 0 and not stale, stale = stale, needed = upto,
    required = upto > 0 and journal.entries[upto].tag or nil, applied = upto - #lacking,
    lacking = lacking, ahead = ahead, server = session.state, round_trips = session.conn:round_trips() }
end

local MOST = 5

---Raises `verify` when the code must not be deployed.
---@param verdict migrator.GateVerdict
function M.refuse(verdict)
  if verdict.ok then return end
  if #verdict.lacking == 0 then
    errors.raise("verify", { message = ("the gate is closed: the database %s has %d migration(s) that this checkout "
      .. "does not know, and may lack what they dropped"):format(verdict.server.database, verdict.ahead),
      hint = "deploy the newer commit; if this code runs on it all the same, --require its newest tag, "
        .. "or --missing allow" })
  end
  local named, edited = {}, false
  for i, item in ipairs(verdict.lacking) do
    if i <= MOST then named[i] = ("%s (%s)"):format(item.tag, item.state) end
    edited = edited or item.state == "edited"
  end
  if #verdict.lacking > MOST then named[#named + 1] = ("and %d more"):format(#verdict.lacking - MOST) end
  errors.raise("verify", { message = ("the gate is closed: the database %s lacks %d of the %d migrations that this "
    .. "code needs: %s"):format(verdict.server.database, #verdict.lacking, verdict.needed, table.concat(named, ", ")),
    hint = edited and "a file differs from what was applied: `migrator status` shows which, `migrator repair` mends it"
      or "run `migrator migrate` against this database first, then deploy" })
end

---@return string for people
function M.describe(verdict)
  if not verdict.required then return "Gate: open, the journal is empty." end
  local more = verdict.ahead > 0 and (", and %d that this checkout does not know"):format(verdict.ahead) or ""
  return ("Gate: open, the database %s has %s and all before it (%d migrations)%s."):format(verdict.server.database,
    verdict.required, verdict.needed, more)
end

return M
