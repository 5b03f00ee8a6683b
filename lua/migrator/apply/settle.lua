---A run that lost its server, or was told to stop, when its COMMIT was on the way: did it happen? The server is asked, on
---a new session where the old one is gone; nothing is guessed.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"

local M = {}

-- Seconds: who interrupts us gets an answer at once; else it may take as long as connecting may, so that a server that
-- restarts is met again.
local QUICK, EVERY = 1, 0.2

---Errors behind which a COMMIT may have happened.
local ENDINGS = { connect = true, interrupted = true, timeout = true }

---@return boolean
function M.is_open(ctx, err) return errors.is(err) and ENDINGS[err.code] ~= nil and ctx.flight ~= nil end

local function status_of(conn, xid, until_when)
  while true do
    local status = conn:value("select pg_catalog.pg_xact_status($1::text::xid8)", xid)
    if status ~= "in progress" then return type(status) == "string" and status or "unknown" end
    if clock.now() > until_when then return "unknown" end
    clock.sleep(EVERY)
  end
end

---Without an id of the transaction: its rows are in the table if and only if it was committed, and whoever still runs
---it holds a lock that this one waits for.
local function rows_are_there(conn, ctx, segment)
  local last = segment.items[#segment.items]
  if not last or not conn:value("select pg_catalog.to_regclass($1) is not null", ctx.tracking.name) then
    return "aborted"
  end
  return conn:transaction(function()
    conn:exec(ctx.tracking.lock)
    local found = conn:value(("select count(*) from %s where hash = $1 and created_at = $2"):format(ctx.tracking.name),
      last.entry.hash, last.entry.when)
    local before = 0
    for _, row in ipairs(ctx.rows) do
      if row.hash == last.entry.hash and row.created_at == last.entry.when then before = before + 1 end
    end
    return found > before and "committed" or "aborted"
  end)
end

local function ask_once(ctx, segment, until_when)
  ctx.conn:close()
  local conn = ctx.reconnect(until_when)
  ctx.conn = conn
  local status
  if ctx.flight.xid then
    status = status_of(conn, ctx.flight.xid, until_when)
  else
    status = rows_are_there(conn, ctx, segment)
  end
  conn:set_deadline(ctx.deadline)
  return status
end

---@return "committed"|"aborted"|"unknown"
local function ask(ctx, segment, until_when)
  while true do
    local ok, status = pcall(ask_once, ctx, segment, until_when)
    if ok then return status end
    if not errors.is(status, "connect") or clock.now() >= until_when then return "unknown", status end
    clock.sleep(EVERY)
  end
end

local HINTS = {
  unsent = "the commit had not been sent: the server rolls the transaction back; run again",
  aborted = "the server rolled the transaction back: nothing of it was changed, run again",
  unknown = "the server could not be asked, so it is not known whether the last transaction was committed: "
    .. "`migrator status` tells; run again",
}

local function refuse(err, status)
  err.settled = status
  if not err.hint then err.hint = HINTS[status] end
  error(err, 0)
end

---What remains of an error whose work was done all the same: no migration is to blame.
local function behind_the_work(err)
  return errors.new(err.code, { message = err.message, signal = err.signal, sqlstate = err.sqlstate,
    hint = "what was under way had been committed already" })
end

---@param ctx table flight: { sent: boolean was the COMMIT sent?, xid?: string }; patience: seconds
---@param segment migrator.Segment
---@param err migrator.Error
---@return table[] done when it was committed, `failure`: what stops the run behind it; raises otherwise
function M.run(ctx, segment, err)
  local is_lost = errors.is(err, "connect")
  if not ctx.flight.sent then
    if is_lost then refuse(err, "unsent") end
    error(err, 0)
  end
  local until_when = clock.deadline(is_lost and ctx.patience or QUICK)
  if is_lost then
    until_when = math.min(until_when, ctx.deadline or math.huge)
    ctx.emit("warning", { message = err.message .. "; asking the server what became of the transaction" })
  end
  local status, second = ask(ctx, segment, until_when)
  if errors.is(second, "interrupted") then err = second end
  if status ~= "committed" then refuse(err, status) end
  local done = { failure = not is_lost and behind_the_work(err) or nil }
  for i, item in ipairs(segment.items) do done[i] = { entry = item.entry, elapsed = 0 } end
  if is_lost then
    local ok, why = pcall(ctx.relock)
    if not ok then done.failure = why end
  end
  return done
end

return M
