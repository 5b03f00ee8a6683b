---A connection that was lost while a transaction was under way: did its COMMIT happen? The server is asked, on a new
---connection; nothing is guessed.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"

local M = {}

local PATIENCE = 30

---@return "committed"|"aborted"|"unknown"
local function status_of(conn, xid)
  local deadline = clock.deadline(PATIENCE)
  while true do
    local status = conn:value("select pg_catalog.pg_xact_status($1::text::xid8)", xid)
    if status ~= "in progress" then return type(status) == "string" and status or "unknown" end
    if clock.now() > deadline then return "unknown" end
    clock.sleep(0.2)
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

---@return table[] done when it was committed; raises otherwise
function M.run(ctx, segment, err)
  ctx.emit("warning", { message = err.message .. "; asking the server what became of the transaction" })
  local ok, conn = pcall(ctx.reconnect)
  if not ok then
    err.hint = "the server cannot be reached, so it is not known whether the run was committed: "
      .. "`migrator status` will tell"
    error(err, 0)
  end
  local status = err.lost.xid and status_of(conn, err.lost.xid) or rows_are_there(conn, ctx, segment)
  if status == "committed" then
    ctx.conn = conn
    local done = {}
    for i, item in ipairs(segment.items) do done[i] = { entry = item.entry, elapsed = 0 } end
    return done
  end
  conn:close()
  err.hint = status == "aborted" and "the server rolled the transaction back: nothing was changed, run again"
    or "the server does not know the transaction any more: look at `migrator status` before running again"
  errors.add(err, { settled = status })
  error(err, 0)
end

return M
