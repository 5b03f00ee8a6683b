---The boundaries of a run, as its session sees them: one between every two things that it sends or is answered, and one
---inside of what may commit. In a process of its own, which does nothing else: the methods of sessions are replaced.
local clock = require "migrator.core.clock"
local core = require "migrator.core.db"

local M = {}

---@class migrator.crash.Point
---@field text string
---@field file? string
---@field line? integer
---@field vital boolean beside a commit, or inside of one

local Points = {}
Points.__index = Points

local function is_vital(name) return name ~= nil and (name.ends or name.concurrent) end

local function describe(previous, verb, name, last)
  local before = verb == "close" and "before the session is closed"
    or ("before %s is %s"):format(name.what, verb == "send" and "sent" or "answered")
  local after = previous and previous.name
  local place = after and after.file and after or name and name.file and name or last or {}
  return { text = after and ("after %s was %s, %s"):format(after.what, previous.verb, before) or before,
    file = place.file, line = place.line, vital = is_vital(after) or is_vital(name) }
end

-- Is it the turn of the point that was asked for?
function Points:reaches(point)
  self.list[#self.list + 1] = point
  return #self.list == self.target
end

---@param batch? migrator.Batch what was queued in it is sent, and done by the server, before the blow
function Points:boundary(conn, verb, name, batch)
  self.last = self.previous and self.previous.name.file and self.previous.name or self.last
  if self:reaches(describe(self.previous, verb, name, self.last)) then
    self.over = true
    if batch then
      batch:flush()
      batch:wait(clock.deadline(0.01)) -- sends; the first answer is kept for `next`
      self.settle(conn)
    end
    self.strike(conn)
  end
end

-- Only the run's own session counts: the first. Whatever else is opened comes and goes as time has it.
function Points:ignores(conn)
  if self.over then return true end
  if not self.conn then
    self.conn = conn
    self.over = true
    self.claim(conn)
    self.over = false
  end
  return conn ~= self.conn
end

-- Sent as `exec` would, but without waiting for the answer.
local function half_way(self, conn, text, ...)
  local batch <close> = conn:batch()
  batch:queue(text, ...)
  batch:sync()
  batch:flush()
  self.strike(conn)
  local result = batch:next()
  repeat local more = batch:next() until more == nil or more == "sync"
  return result
end

-- Is the statement, about to be sent, the one that is to be disturbed half way?
function Points:reaches_within(it)
  local place = it.file and it or self.last or {}
  return (it.ends or it.concurrent) and self:reaches { text = "while " .. it.what .. " is under way", file = place.file,
    line = place.line, vital = true }
end

-- What waits for the answer of a statement in an ambush. `finish` disturbs what was not disturbed yet.
local function wait_ambushed(self, finish, wait, ...)
  self.over = true -- nothing that comes now is a boundary
  local results = table.pack(pcall(wait, ...))
  finish(results[1])
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local function replace_sender(self, methods, name)
  local raw = methods[name]
  methods[name] = function(conn, text, ...)
    if self:ignores(conn) then return raw(conn, text, ...) end
    local it = self.names(text, ...)
    self:boundary(conn, "send", it)
    if not self.over and self:reaches_within(it) then
      self.over = true
      if it.ends then return half_way(self, conn, text, ...) end
      return wait_ambushed(self, self.ambush(conn), raw, conn, text, ...)
    end
    local results = table.pack(raw(conn, text, ...))
    self.previous = { name = it, verb = "answered" }
    return table.unpack(results, 1, results.n)
  end
end

local function replace_batch(self, batch)
  if self.batch_methods then return end
  self.batch_methods = debug.getmetatable(batch).__index
  local methods = self.batch_methods
  local queue, sync, next_result = methods.queue, methods.sync, methods.next
  function methods.queue(made, text, ...)
    local waiting = self.batches[made]
    if not waiting or self.over then return queue(made, text, ...) end
    local it = self.names(text, ...)
    self:boundary(self.conn, "send", it, waiting.tail >= waiting.head and made or nil)
    waiting.tail = waiting.tail + 1
    waiting[waiting.tail] = it
    self.previous = { name = it, verb = "sent" }
    if it.concurrent and not self.over and self:reaches_within(it) then
      self.over = true
      waiting.finish, self.over = self.ambush(self.conn), false
    end
    return queue(made, text, ...)
  end
  function methods.sync(made)
    local waiting = self.batches[made]
    if waiting then waiting.tail = waiting.tail + 1 end -- an answer of its own, of no interest
    return sync(made)
  end
  function methods.next(made)
    local waiting = self.batches[made]
    if not waiting or self.over then return next_result(made) end
    local it = waiting[waiting.head]
    waiting[waiting.head], waiting.head = nil, math.min(waiting.head, waiting.tail) + 1
    if it then self:boundary(self.conn, "answer", it) end
    if waiting.finish then return wait_ambushed(self, waiting.finish, next_result, made) end
    local result = next_result(made)
    if it then self.previous = { name = it, verb = "answered" } end
    return result
  end
end

---Replaces the methods of sessions for the rest of this process.
---@param opts { names: fun(text: string, ...: any): migrator.crash.Name, target?: integer,
---  claim: fun(conn: migrator.Conn),
---  settle: fun(conn: migrator.Conn), strike: fun(conn: migrator.Conn),
---  ambush: fun(conn: migrator.Conn): fun(answered: boolean) }
---@return { list: migrator.crash.Point[] } what was passed so far
function M.install(opts)
  local self = setmetatable({ list = {}, batches = setmetatable({}, { __mode = "k" }), over = false }, Points)
  for name, value in pairs(opts) do self[name] = value end
  local methods = core.conn
  local make_batch, close = methods.batch, methods.close
  replace_sender(self, methods, "exec")
  replace_sender(self, methods, "script")
  function methods.batch(conn)
    local ignored = self:ignores(conn)
    local batch = make_batch(conn)
    replace_batch(self, batch)
    if not ignored then self.batches[batch] = { head = 1, tail = 0 } end
    return batch
  end
  function methods.close(conn)
    if not self.over and conn == self.conn then
      self:boundary(conn, "close")
      self.over = true
    end
    return close(conn)
  end
  return self
end

return M
