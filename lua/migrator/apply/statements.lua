---A migration that cannot be one transaction: statement by statement, its progress recorded whenever the session is
---outside a transaction, its tracking row last. What was begun and not recorded as done is looked at in the catalogue,
---not guessed.
local clock = require "migrator.core.clock"
local concurrent = require "migrator.apply.concurrent"
local errors = require "migrator.error"
local kinds = require "migrator.plan.kinds"
local locate = require "migrator.apply.locate"
local progress = require "migrator.progress"
local settings = require "migrator.apply.settings"
local tracking_table = require "migrator.tracking"

local M = {}

local function has_control(list)
  for _, statement in ipairs(list) do
    if statement.kind == "control" then return true end
  end
  return false
end

local function is_concurrent(statement) return statement.words:find("CONCURRENTLY", 1, true) ~= nil end

local function run_watched(ctx, entry, statement)
  local batch <close> = ctx.conn:batch()
  batch:queue(statement.text)
  batch:sync()
  ctx:answer(batch, { entry = entry, statement = statement, concurrent = is_concurrent(statement) })
end

---lock_timeout would also cut the waits of CONCURRENTLY for older transactions, which block nobody, and leave an INVALID
---index: here the watch holds the limits, one for each kind of wait.
local function exec(ctx, entry, statement)
  if not is_concurrent(statement) then return run_watched(ctx, entry, statement) end
  local before = ctx.conn:value("select pg_catalog.current_setting('lock_timeout')")
  ctx.conn:exec("set lock_timeout = 0")
  local ok, err = pcall(run_watched, ctx, entry, statement)
  if ctx.conn:status() == "idle" then
    ctx.conn:exec("select pg_catalog.set_config('lock_timeout', $1, false)", before)
  end
  if not ok then error(err, 0) end
end

local function clear(ctx, what, before)
  for _, name in ipairs(concurrent.clear(ctx.conn, what, before)) do
    ctx.emit("warning", { message = ("dropped the INVALID index %s that an earlier try left"):format(name) })
  end
end

---@param begun string|nil what an earlier run noted when it began the statement
---@return boolean skip the work is there and whole
local function settle_begun(ctx, entry, statement, what, begun)
  if what then
    clear(ctx, what, begun)
    return (begun or concurrent.is_pending(ctx.conn, what)) and concurrent.finish(ctx.conn, what, begun) or false
  elseif begun and statement.words:find("^[CD][AO]") then -- CALL, DO: with transactions of their own
    ctx.emit("warning", { message = ("%s:%d was begun by a run that ended in the middle of it, and runs again: "
      .. "what it had committed stays"):format(entry.path, statement.line) })
  end
  return false
end

---The server refused the statement: it is not begun, and what it left goes.
local function take_back(ctx, entry, statement, index)
  local what = statement.kind == "outside" and concurrent.find(statement.text)
  if what then clear(ctx, what, ctx.before) end
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

local function note(ctx, entry, index, state)
  progress.record(ctx.conn, ctx.tracking.name, entry, ctx.digests, index, state)
end

---What cannot be in a transaction is noted as begun before, and looked at in the catalogue if that note is all that is
---left of a run.
local function run_outside(ctx, entry, statement, index, begun)
  local what = concurrent.find(statement.text)
  if not settle_begun(ctx, entry, statement, what, begun) then
    ctx.before = concurrent.before(ctx.conn, what)
    note(ctx, entry, index, "begun " .. ctx.before)
    exec(ctx, entry, statement)
  end
  if ctx.conn:status() == "idle" then note(ctx, entry, index, "done") end
end

---The statement and the note that it is done in one transaction: a run that died between them would do it twice.
---@return boolean false when it ends transactions itself, and nothing was done
local function run_together(ctx, entry, statement, index)
  local conn = ctx.conn
  conn:exec("begin")
  local ok, err = pcall(exec, ctx, entry, statement)
  if not ok and errors.is(err) and err.sqlstate == "2D000" and statement.words:find("^CALL") then
    conn:exec("rollback")
    return false
  end
  if not ok then error(err, 0) end
  note(ctx, entry, index, "done")
  conn:exec("commit")
  return true
end

---Runs the statement and notes that it is done. The end of a transaction of the file's own carries the note with it.
local function run_noted(ctx, entry, statement, index, begun)
  local status = ctx.conn:status()
  if status == "idle" and statement.kind ~= "control" then
    local alone = statement.kind == "outside" or begun
    if alone or not run_together(ctx, entry, statement, index) then
      run_outside(ctx, entry, statement, index, begun)
    end
    return
  end
  local ends = statement.kind == "control" and (statement.words:find("^COMMIT") or statement.words:find("^END"))
  if status == "transaction" and ends then note(ctx, entry, index, "done") end
  exec(ctx, entry, statement)
end

---Settings of the session that the statements before made, when those ran in an earlier one.
local SETTINGS = { "^SET ", "^RESET ", "^LOAD ", "^DISCARD " }

local function is_setting(statement)
  if statement.words:find("^SET LOCAL") or statement.words:find("^SET CONSTRAINTS")
    or statement.words:find("^SET TRANSACTION") then return false end
  for _, pattern in ipairs(SETTINGS) do
    if (statement.words .. " "):find(pattern) then return true end
  end
  return statement.words:find("^SELECT") and kinds.without_comments(statement.text):lower()
    :find("^select%s+[%w_%.]*set_config%s*%(.*false%s*%)$") ~= nil
end

---Brings a new session to where the one was that ran the first statements.
local function catch_up(ctx, list, done)
  for index = 1, done do
    if is_setting(list[index]) then exec(ctx, nil, list[index]) end
  end
  local last = list[done]
  if last and last.kind == "control" and last.words:find("AND CHAIN") then ctx.conn:exec("begin") end
end

-- Who stopped waiting does not know: the server may have come to the end, and committed, in spite of us.
local function is_refused(err)
  return errors.is(err) and err.code ~= "interrupted" and err.code ~= "timeout" and err.code ~= "connect"
end

local function run_one(ctx, item, list, index, begun)
  local conn, entry, statement = ctx.conn, item.entry, list[index]
  local was_idle, started = conn:status() == "idle", clock.now()
  local ok, err = pcall(run_noted, ctx, entry, statement, index, begun)
  if conn:status() ~= "closed" then tell_notices(ctx, entry) end
  if ok and conn:status() == "failed" then ok, err = false, errors.new("sql", "the transaction failed") end
  if not ok then
    if was_idle and conn:status() ~= "idle" and conn:status() ~= "closed" then pcall(conn.exec, conn, "rollback") end
    if was_idle and conn:status() == "idle" and is_refused(err) then pcall(take_back, ctx, entry, statement, index) end
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
  ctx.flight = { xid = conn:value("select pg_catalog.pg_current_xact_id()::text") }
  ctx.flight.sent = true
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
  local reached, begun = 0, nil
  if kept then reached, begun = progress.find(conn, ctx.tracking.name, entry, ctx.digests) end
  local failed = list[reached + 1]
  err.part_way = conn:status() == "closed" or reached > 0 or begun ~= nil
  err.resume = reached > 0 and { statement = reached + 1, of = #list } or nil
  if conn:status() == "closed" then
    err.hint = err.hint or "what was done stays and is noted: the next run goes on where this one stopped"
  elseif failed and is_concurrent(failed) then
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
  kinds.mark(list, item.kinds)
  prepare(ctx)
  ctx.digests = progress.digests(list)
  local done, begun = progress.find(conn, ctx.tracking.name, entry, ctx.digests)
  ctx.emit("migration", { entry = entry, statements = #list, resume = done > 0 and done + 1 or nil })
  local restore = settings.hold(conn, item)
  local ok, err = pcall(function()
    if done == 0 and not begun and has_control(list) then conn:exec("begin") end
    catch_up(ctx, list, done)
    for index = done + 1, #list do run_one(ctx, item, list, index, index == done + 1 and begun or nil) end
    finish(ctx, entry)
  end)
  if not ok then
    if conn:status() ~= "closed" and conn:status() ~= "idle" then pcall(conn.exec, conn, "rollback") end
    if conn:status() == "idle" then pcall(restore) end
    error(describe_failure(ctx, entry, list, err), 0)
  end
  restore()
  return { { entry = entry, elapsed = clock.now() - started } }
end

return M
