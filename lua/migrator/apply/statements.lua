---A migration that cannot be one transaction: statement by statement, its progress recorded whenever the session is
---outside a transaction, its tracking row last. What was begun and not recorded as done is looked at in the catalogue,
---not guessed.
local clock = require "migrator.core.clock"
local concurrent = require "migrator.apply.concurrent"
local errors = require "migrator.error"
local kinds = require "migrator.plan.kinds"
local locate = require "migrator.apply.locate"
local progress = require "migrator.progress"
local tracking_table = require "migrator.tracking"

local M = {}

local function has_control(list)
  for _, statement in ipairs(list) do
    if statement.kind == "control" then return true end
  end
  return false
end

local function is_concurrent(statement) return statement.words:find("CONCURRENTLY", 1, true) ~= nil end

---CONCURRENTLY waits for other transactions without blocking anybody: lock_timeout would only make it fail half way and
---leave an INVALID index.
local function exec(ctx, statement)
  if not is_concurrent(statement) then return ctx.conn:script(statement.text) end
  local before = ctx.conn:value("select pg_catalog.current_setting('lock_timeout')")
  ctx.conn:exec("set lock_timeout = 0")
  local ok, err = pcall(ctx.conn.script, ctx.conn, statement.text)
  if ctx.conn:status() == "idle" then
    ctx.conn:exec("select pg_catalog.set_config('lock_timeout', $1, false)", before)
  end
  if not ok then error(err, 0) end
end

---@return boolean skip the index is there and whole
local function settle_index(ctx, statement, begun)
  local index = is_concurrent(statement) and concurrent.find_index(statement.text)
  if not index then return false end
  if concurrent.drop_invalid(ctx.conn, index) then
    ctx.emit("warning", { message = ("dropped the INVALID index %s that an earlier try left"):format(index.name) })
  end
  return begun and concurrent.state(ctx.conn, index) == "valid"
end

---The server refused the statement: it is not begun, and what it left goes.
local function take_back(ctx, entry, statement, index)
  settle_index(ctx, statement, false)
  if index > 1 then
    progress.record(ctx.conn, ctx.tracking.name, entry, ctx.digests, index - 1, "done")
  else
    progress.clear(ctx.conn, ctx.tracking.name, entry.tag)
  end
end

local function tell_notices(ctx, entry)
  for _, notice in ipairs(ctx.conn:notices()) do
    notice.entry = entry
    ctx.emit("notice", notice)
  end
end

---Runs the statement and notes that it is done. Where it can be, both are one transaction: a run that dies between them
---would do it twice. What cannot is noted as begun before, and looked at in the catalogue if the note is all that is left.
local function run_noted(ctx, entry, statement, index, begun)
  local conn, tracking = ctx.conn, ctx.tracking.name
  local idle = conn:status() == "idle"
  local together = idle and statement.kind == "plain" and not statement.words:find("^CALL")
  if together then
    conn:exec("begin")
  elseif idle and statement.kind ~= "control" then
    if settle_index(ctx, statement, begun) then return end
    progress.record(conn, tracking, entry, ctx.digests, index, "begun")
  end
  exec(ctx, statement)
  if together or conn:status() == "idle" then progress.record(conn, tracking, entry, ctx.digests, index, "done") end
  if together then conn:exec("commit") end
end

local function run_one(ctx, item, list, index, begun)
  local conn, entry, statement = ctx.conn, item.entry, list[index]
  local was_idle, started = conn:status() == "idle", clock.now()
  local ok, err = pcall(run_noted, ctx, entry, statement, index, begun)
  if conn:status() ~= "closed" then tell_notices(ctx, entry) end
  if ok and conn:status() == "failed" then ok, err = false, errors.new("sql", "the transaction failed") end
  if not ok then
    if was_idle and conn:status() ~= "idle" and conn:status() ~= "closed" then pcall(conn.exec, conn, "rollback") end
    if was_idle and conn:status() == "idle" then pcall(take_back, ctx, entry, statement, index) end
    error(locate.annotate(err, entry, statement, list.source), 0)
  end
  ctx.emit("statement", { entry = entry, statement = statement, index = index, elapsed = clock.now() - started })
end

local function finish(ctx, entry)
  local conn, tracking = ctx.conn, ctx.tracking
  if conn:status() == "idle" then conn:exec("begin") end
  conn:exec(tracking.lock)
  conn:exec(tracking_table.digest_check(tracking), tracking_table.digest(ctx.rows), "rows now: ")
  conn:exec(tracking.add, entry.hash, entry.when)
  progress.clear(conn, tracking.name, entry.tag)
  conn:exec("commit")
end

local function prepare(ctx)
  local conn = ctx.conn
  if not ctx.tracked then
    if not ctx.has_schema then conn:exec(ctx.tracking.create_schema) end
    conn:exec(ctx.tracking.create_table)
    ctx.tracked, ctx.has_schema = true, true
  end
  progress.prepare(conn)
end

---Says how far it came, and what the next run makes of that.
local function describe_failure(ctx, entry, list, err)
  if not errors.is(err) then return err end
  local conn = ctx.conn
  local kept = conn:status() == "idle" and progress.is_kept(conn)
  local reached = kept and progress.find(conn, ctx.tracking.name, entry, ctx.digests) or 0
  local failed = list[reached + 1]
  err.part_way = true
  err.resume = reached > 0 and { statement = reached + 1, of = #list } or nil
  if failed and is_concurrent(failed) then
    err.hint = err.hint or "run again when the cause is mended; an INVALID index that was left is dropped first"
  end
  return err
end

---@param ctx table
---@param segment migrator.Segment of one item
---@return table[] done { entry, elapsed }
function M.run(ctx, segment)
  local item = segment.items[1]
  local entry, conn, started = item.entry, ctx.conn, clock.now()
  local list = entry:statements()
  kinds.mark(list)
  prepare(ctx)
  ctx.digests = progress.digests(list)
  local done, begun = progress.find(conn, ctx.tracking.name, entry, ctx.digests)
  ctx.emit("migration", { entry = entry, statements = #list, resume = done > 0 and done + 1 or nil })
  local ok, err = pcall(function()
    if done == 0 and not begun and has_control(list) then conn:exec("begin") end
    for index = done + 1, #list do run_one(ctx, item, list, index, begun and index == done + 1) end
    finish(ctx, entry)
  end)
  if not ok then
    if conn:status() ~= "closed" and conn:status() ~= "idle" then pcall(conn.exec, conn, "rollback") end
    error(describe_failure(ctx, entry, list, err), 0)
  end
  return { { entry = entry, elapsed = clock.now() - started } }
end

return M
