---Waits for an answer with open eyes: once it takes long, a second session looks who is in the way, who queues behind us
---and how far a build is; budgets and policies may then end the statement. No second session when nothing takes long.
local clock = require "migrator.core.clock"
local duration = require "migrator.lib.duration"
local errors = require "migrator.error"
local look = require "migrator.apply.look"

local M = {}

-- Seconds until the first look, between looks, and between looks when a limit may have to be held.
local PATIENCE, EVERY, CLOSE = 1, 2, 0.5
local HEARTBEAT, HEARTBEAT_MOST = 10, 60

local Watch = {}
Watch.__index = Watch

---@class migrator.WatchOptions
---@field connect fun(): migrator.Conn the second session; short limits of its own
---@field emit fun(name: string, data: table)
---@field lock_timeout number seconds, 0: none
---@field snapshot_timeout number seconds that CONCURRENTLY may wait for older transactions, 0: no limit
---@field victims? fun(facts: table): boolean

---@param opts migrator.WatchOptions
---@return table watch
function M.new(opts)
  local self = { opts = opts, told = {}, victims = opts.victims,
    patience = opts.lock_timeout > 0 and math.min(PATIENCE, opts.lock_timeout / 2) or PATIENCE }
  return setmetatable(self, Watch)
end

local function name_of(meta) return meta.entry and meta.entry.tag or "the run" end

---Looks, or returns nil when that is not possible just now: a run must not fail because of its watcher.
function Watch:see()
  local ok, found = pcall(function()
    if not self.conn or self.conn:status() ~= "idle" then self.conn = self.opts.connect() end
    return look.at(self.conn, self.pid)
  end)
  if ok then return found end
  if errors.is(found, "interrupted") then error(found, 0) end
  return nil
end

function Watch:tell(found, meta, elapsed)
  local fresh = {}
  for _, blocker in ipairs(found.blockers) do
    local key = ("%s %s"):format(blocker.pid, found.wait)
    if not self.told[key] then
      self.told[key] = true
      fresh[#fresh + 1] = look.describe(blocker)
    end
  end
  if #fresh == 0 then return end
  local behind = found.sessions > 0 and ("; %d session(s) wait behind us"):format(found.sessions) or ""
  local what = found.wait == "snapshot" and "%s waits for older transactions to end, since %s: %s%s"
    or "%s waits for a lock, since %s, held by %s%s"
  self.opts.emit("waiting", { blockers = found.blockers, sessions = found.sessions, entry = meta.entry,
    message = what:format(name_of(meta), duration.format(elapsed), table.concat(fresh, ", and by "), behind) })
end

---`due` now and then, further and further apart: often enough for a log.
function Watch:beat(found, meta, elapsed)
  if not meta.statement then return end
  local due = elapsed >= self.next_beat
  if due then self.next_beat = elapsed + math.min(HEARTBEAT_MOST, elapsed) end
  self.opts.emit("heartbeat", { entry = meta.entry, statement = meta.statement, elapsed = elapsed, due = due,
    wait = found.wait, doing = found.doing })
end

---How long our session has waited in this way without a break; the first look counts from the statement's start.
function Watch:waited(found, since)
  if found.wait ~= self.wait then
    self.wait, self.wait_since = found.wait, self.looks == 1 and since or clock.now()
  end
  return found.wait and clock.now() - self.wait_since or 0
end

---The error that is to end the statement, or nil.
function Watch:judge(found, meta, since)
  local opts, waited = self.opts, self:waited(found, since)
  local blockers = #found.blockers > 0 and look.describe_all(found.blockers) or nil
  if meta.concurrent and found.wait == "lock" and opts.lock_timeout > 0 and waited > opts.lock_timeout then
    return errors.new("lock", { sqlstate = "55P03", detail = blockers,
      message = ("no lock within %s (--lock-timeout)"):format(duration.format(opts.lock_timeout)) })
  elseif found.wait == "snapshot" and opts.snapshot_timeout > 0 and waited > opts.snapshot_timeout then
    return errors.new("lock", { detail = blockers, message = ("older transactions did not end within %s "
      .. "(--snapshot-timeout)"):format(duration.format(opts.snapshot_timeout)),
      hint = "end the sessions that the detail names, or wait for them, then run again" })
  end
  local facts = { sessions = found.sessions, longest = found.longest, elapsed = clock.now() - since,
    migration = meta.entry and meta.entry.tag, blockers = found.blockers }
  if self.victims and found.sessions > 0 and self.victims(facts) then
    return errors.new("lock", { gave_way = true, detail = blockers,
      message = ("gave way: %d session(s) waited behind us, the first for %s (--victims)"):format(found.sessions,
        duration.format(found.longest)),
      hint = "run it when less is going on, in smaller parts, or let others wait longer" })
  end
end

function Watch:check(meta, since)
  local found = self:see()
  self.looks = self.looks + 1
  if not found then return end
  local elapsed = clock.now() - since
  if found.wait then
    self:tell(found, meta, elapsed)
    self.blockers = found.blockers
  end
  self:beat(found, meta, elapsed)
  if self.verdict then return end
  self.verdict = self:judge(found, meta, since)
  if self.verdict then self.conn:exec("select pg_catalog.pg_cancel_backend($1)", self.pid) end
end

---What the server's error means when we know more than the server.
function Watch:explain(err)
  local verdict, blockers = self.verdict, self.blockers
  if not errors.is(err) then return err end
  if verdict and err.sqlstate == "57014" then return verdict end
  if err.sqlstate == "55P03" and blockers and #blockers > 0 then
    errors.add(err, { detail = "in the way: " .. look.describe_all(blockers), blockers = blockers })
  end
  return err
end

---The batch's next answer. `pid` is the backend that is to give it.
---@param batch any
---@param meta { entry?: migrator.Entry, statement?: migrator.Statement, concurrent?: boolean }
---@param pid integer
---@return any
function Watch:answer(batch, meta, pid)
  local since = clock.now()
  local every = (self.victims or meta.concurrent) and CLOSE or EVERY
  self.pid, self.looks, self.wait, self.next_beat = pid, 0, nil, HEARTBEAT
  if not self.victims or not self.due then self.due = since + self.patience end
  while not batch:wait(self.due) or (self.victims and clock.now() >= self.due) do
    self:check(meta, since)
    self.due = clock.now() + every
  end
  if self.looks == 0 and not self.verdict then return batch:next() end -- a cancel may hit the statement after the one it was for
  local ok, result = pcall(batch.next, batch)
  if ok then return result end
  error(self:explain(result), 0)
end

---Ends the second session; the watch can be used again.
function Watch:close()
  if self.conn then self.conn:close() end
  self.conn, self.due, self.verdict, self.blockers = nil, nil, nil, nil
end

Watch.__close = Watch.close

return M
