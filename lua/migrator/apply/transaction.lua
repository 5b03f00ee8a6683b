---A segment that is one transaction, sent as one pipeline: the fence, the statements, the tracking rows, the check and
---the commit travel together, so that the number of round trips does not grow with the number of migrations.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local locate = require "migrator.apply.locate"
local lock_first = require "migrator.apply.lock_first"
local settings = require "migrator.apply.settings"
local tracking_table = require "migrator.tracking"

local M = {}

-- The window bounds memory on both sides. When it is full, half of it is received before more is sent: a round trip for
-- each half window, not for each statement, while the server never runs dry. The flush request behind a statement makes
-- the server say at once that it is done with it: so we always know which one it is at.
local NONE = {}
local WINDOW_COUNT, WINDOW_BYTES = 8192, 2 << 20
local LOOK = 64 -- statements that are sent before what has come meanwhile is taken
local ROWS = 200 -- tracking rows that are added at once

local function describe_items(items)
  local first, last = items[1], items[#items]
  if not first then return "no migration" end
  return first == last and first.entry.tag or ("%s to %s (%d migrations)"):format(first.entry.tag, last.entry.tag,
    #items)
end

-- Whether rows can be added at all is to be known when the first migration is through, not when the last one is; the
-- others are added together, which costs the server a fraction.
local function add_rows(tracking, entries)
  local text, params = tracking_table.add_all(tracking, entries)
  coroutine.yield({ kind = "track", entry = #entries == 1 and entries[1] or nil }, text, params)
end

local function produce(ctx, segment)
  local tracking, yield = ctx.tracking, coroutine.yield
  yield({ kind = "begin" }, "begin")
  if not ctx.tracked then
    if not ctx.has_schema then yield({ kind = "create" }, tracking.create_schema) end
    yield({ kind = "create" }, tracking.create_table)
  end
  yield({ kind = "fence" }, tracking.lock)
  yield({ kind = "fence" }, tracking_table.digest_check(tracking), { tracking_table.digest(ctx.rows), "rows now: " })
  yield({ kind = "xid" }, "select pg_catalog.pg_current_xact_id()::text as xid")
  if ctx.lock_first then
    local text, wanted = lock_first.statement(segment.items)
    if text then yield({ kind = "lock", wanted = wanted }, text) end
  end
  local after, waiting = table.move(ctx.rows, 1, #ctx.rows, 1, {}), {}
  for number, item in ipairs(segment.items) do
    local entry = item.entry
    local list = item.statements or entry:statements()
    yield({ kind = "start", entry = entry, count = #list })
    for _, own in ipairs(settings.statements(item, "enter")) do
      yield({ kind = "set", entry = entry }, own.text, own.params)
    end
    for index, statement in ipairs(list) do
      yield({ kind = "statement", entry = entry, statement = statement, source = list.source, index = index },
        statement.text)
    end
    for _, own in ipairs(settings.statements(item, "leave")) do
      yield({ kind = "set", entry = entry }, own.text, own.params)
    end
    yield({ kind = "done", entry = entry })
    waiting[#waiting + 1] = entry
    if number == 1 or #waiting == ROWS or number == #segment.items then
      add_rows(tracking, waiting)
      waiting = {}
    end
    after[#after + 1] = { hash = entry.hash, created_at = entry.when }
  end
  yield({ kind = "check", after = after }, tracking_table.digest_check(tracking), { tracking_table.digest(after),
    "rows after: " })
  ctx.flight.sent = not ctx.rehearse
  yield({ kind = "commit", tags = describe_items(segment.items) }, ctx.rehearse and "rollback" or "commit")
end

local Run = {}
Run.__index = Run

local HANDLERS = {
  start = function(run, meta)
    run.ctx.emit("migration", { entry = meta.entry, statements = meta.count })
    run.elapsed = 0
  end,
  statement = function(run, meta, elapsed)
    run.ctx.emit("statement", { entry = meta.entry, statement = meta.statement, index = meta.index,
      elapsed = elapsed, affected = meta.affected })
  end,
  done = function(run, meta) run.done[#run.done + 1] = { entry = meta.entry, elapsed = run.elapsed } end,
}

-- Quick statements' answers are fetched together: of what is less than this, each gets the same share; what is more, the
-- first was waited for.
local TOGETHER = 0.002

---Tells what was passed since the last time.
function Run:tell()
  local took = clock.now() - self.last
  local share = self.arrived > 0 and math.min(took, TOGETHER) / self.arrived or 0
  local first = took - share * (self.arrived - 1)
  for i = 1, self.count do
    local meta, elapsed = self.passed[i], 0
    if meta.sent then elapsed, first = first, share end
    self.elapsed = self.elapsed + elapsed
    for _, notice in ipairs(meta.notices or NONE) do
      notice.entry = meta.entry
      self.ctx.emit("notice", notice)
    end
    local handler = HANDLERS[meta.kind]
    if handler then handler(self, meta, elapsed) end
    self.passed[i] = nil
  end
  if self.arrived > 0 then self.last = clock.now() end
  self.count, self.arrived = 0, 0
end

function Run:pass(meta)
  self.count = self.count + 1
  self.passed[self.count] = meta
end

---Goes on to the next meta whose answer is to come, which is the current one then.
function Run:go_on()
  while not self.metas[self.head].sent do
    self:pass(self.metas[self.head])
    self.metas[self.head] = nil
    self.head = self.head + 1
  end
  self.current = self.metas[self.head]
end

---Takes the next answer.
function Run:receive()
  self:go_on()
  local meta = self.current
  if not self.batch:ready() then self:tell() end -- whatever is done, before there may be a long wait
  local result = self.ctx:answer(self.batch, meta)
  self.metas[self.head] = nil
  self.head = self.head + 1
  self.outstanding, self.bytes, self.arrived = self.outstanding - 1, self.bytes - meta.bytes, self.arrived + 1
  if meta.kind == "xid" then self.ctx.flight.xid = result[1].xid end
  meta.affected, meta.notices = result.affected, self.ctx.conn:notices()
  self:pass(meta)
end

---Makes room in the window, or takes what has come.
function Run:catch_up()
  if self.outstanding > WINDOW_COUNT or self.bytes > WINDOW_BYTES then
    while self.outstanding > 1 and (self.outstanding > WINDOW_COUNT // 2
      or self.bytes > WINDOW_BYTES // 2) do self:receive() end
  elseif self.tail % LOOK == 0 then
    self.batch:poll()
    while self.batch:ready() do self:receive() end
    self:tell()
  end
end

function Run:send(meta, text, params)
  self.metas[self.tail] = meta
  self.tail = self.tail + 1
  if not text then return end
  meta.sent, meta.bytes = true, #text
  self.batch:queue(text, table.unpack(params or NONE))
  self.batch:flush()
  self.outstanding, self.bytes = self.outstanding + 1, self.bytes + #text
  self:catch_up()
end

function Run:drive(segment)
  for meta, text, params in coroutine.wrap(function() produce(self.ctx, segment) end) do
    self:send(meta, text, params)
  end
  self.batch:sync()
  while self.outstanding > 0 do self:receive() end
  self:tell()
end

---@param err any
---@param meta table what was under way
local function explain(ctx, err, meta)
  if not errors.is(err) or not meta then return err end
  if meta.kind == "fence" and err.sqlstate == "22P02" then
    return errors.new("lock", { message = "the tracking table was changed by somebody else in the middle of this run",
      hint = "nothing was changed by us; run again", changed_under_us = true })
  elseif meta.kind == "check" and err.sqlstate == "22P02" then
    local count = err.message:match("rows after: (%d+)") or "?"
    return errors.new("verify", { message = ("Migration count mismatch: database has %s but expected %d"):format(count,
      #meta.after), hint = "a migration of this run changed the tracking table itself; everything was rolled back" })
  elseif meta.kind == "commit" and err.sqlstate then
    err.hint = err.hint or "a check that was deferred to the end of the transaction failed: all of it was rolled back"
    err.detail = ("%sin the transaction: %s"):format(err.detail and err.detail .. "\n" or "", meta.tags)
  elseif meta.kind == "lock" and err.sqlstate == "55P03" then
    err.detail = lock_first.holders(ctx.conn, meta.wanted)
    err.hint = err.hint or "--lock-first: no statement was run; end the sessions in the detail, or wait for them"
    err.context = nil
  elseif meta.kind == "create" and err.sqlstate == "42501" then
    err.hint = ("grant create on this database, or create %s beforehand"):format(ctx.tracking.name)
  end
  return meta.entry and locate.annotate(err, meta.entry, meta.statement, meta.source) or err
end

---Runs the segment. Raises when nothing of it remains, or when only the server knows: see ctx.flight.
---@param ctx table
---@param segment migrator.Segment
---@return table[] done { entry, elapsed }
function M.run(ctx, segment)
  local run = setmetatable({ ctx = ctx, metas = {}, head = 1, tail = 1, outstanding = 0, bytes = 0,
    passed = {}, count = 0, arrived = 0, elapsed = 0, done = {}, last = clock.now() }, Run)
  ctx.flight = {}
  run.batch = ctx.conn:batch()
  local ok, err = pcall(run.drive, run, segment)
  if ok then -- what goes wrong from here on, goes wrong behind the commit
    local closed, failure = pcall(run.batch.close, run.batch)
    run.done.failure = not closed and failure or nil
    return run.done
  end
  pcall(run.tell, run)
  local closed, second = pcall(run.batch.close, run.batch)
  if not closed and not errors.is(err, "interrupted") and not errors.is(err, "connect") then
    ctx.emit("warning", { message = tostring(second) })
  end
  local status = ctx.conn:status()
  if status == "transaction" or status == "failed" or status == "active" then
    pcall(ctx.conn.exec, ctx.conn, "rollback")
  end
  err = explain(ctx, err, run.current)
  if errors.is(err, "connect") then ctx.conn:close() end
  error(err, 0)
end

return M
