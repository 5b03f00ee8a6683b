---steps.wait { proxy = { every, timeout }, database = { every, timeout } }: three levels of readiness, each with its
---own budget:
---the proxy says so, the server answers, and a real login runs `select 1`.
local clock = require "migrator.core.clock"
local duration = require "migrator.lib.duration"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local options = require "migrator.steps.options"
local reader = require "migrator.reader"
local readiness = require "migrator.readiness"
local url = require "migrator.lib.url"

local KNOWN = { proxy = "table", database = "table" }
local BUDGET = { every = "pause", timeout = "duration" }

local FIRST_PAUSE = 0.05 -- what was only just started is there in a moment; `every` is for what takes longer

local function budget(given, every, timeout)
  local out = options.check("wait", given or {}, BUDGET)
  return { every = out.every or every, timeout = out.timeout or timeout }
end

---The proxy has a budget of its own; ours and the run's only shorten it.
local function soonest(timeout, deadline)
  if not timeout then return deadline end
  return math.min(clock.deadline(timeout), deadline or math.huge)
end

-- How long it was tried is part of what happened.
local function tell(err, seconds, tries)
  local said = ("gave up after %s (%d %s)"):format(duration.format(seconds), tries, tries == 1 and "try" or "tries")
  err.detail = err.detail and err.detail .. "\n" .. said or said
end

local LOGIN_REFUSED = { ["28P01"] = true, ["28000"] = true }

---A password that is good for a while only may have ended between the secret and the login: it is read again, once.
local function renew(ctx, result)
  if not ctx.reread or not (errors.is(result, "connect") and LOGIN_REFUSED[result.sqlstate]) then return false end
  local reread = ctx.reread
  ctx.reread = nil
  local old, fresh = url.parse(ctx:need "dsn"), url.parse(reread())
  if fresh.user == old.user and fresh.password == old.password then return false end
  old.user, old.password = fresh.user, fresh.password
  ctx:give("dsn", url.format(old))
  ctx.emit("note", { message = "the login was refused, and the secret has changed: trying the new one" })
  return true
end

local function wait_database(ctx, limits)
  local deadline = clock.deadline(limits.timeout)
  if ctx.deadline then deadline = math.min(deadline, ctx.deadline) end
  local started, tries, pause = clock.now(), 0, FIRST_PAUSE
  while true do
    tries = tries + 1
    local ok, result = pcall(function()
      if ctx.proxy then readiness.look(ctx:need "dsn") end
      local conn = engine.connect(ctx:config_for(), deadline)
      local answers, why = pcall(conn.value, conn, "select 1")
      if not answers then
        conn:close()
        error(why, 0)
      end
      conn:set_deadline(ctx.deadline)
      return conn
    end)
    if ok then return result, tries end
    local worth = errors.is(result, "timeout") or (errors.is(result, "connect") and result.retry)
    if ctx.proxy then readiness.blame(ctx.proxy, result) end
    local renewed = renew(ctx, result)
    if not renewed and (not worth or clock.now() + pause > deadline) then
      failure.name_deadline(result, clock.now() >= deadline and deadline ~= ctx.deadline and deadline or nil,
        limits.timeout, "steps.wait: database.timeout")
      if worth then tell(result, clock.now() - started, tries) end
      error(result, 0)
    end
    if not renewed then clock.sleep(pause) end
    pause = math.min(limits.every, pause * 2)
  end
end

return function(given)
  local opts = options.check("wait", given, KNOWN)
  local for_proxy, for_database = budget(opts.proxy), budget(opts.database, 2, 20)
  return {
    name = "wait", needs = { "dsn" }, gives = { "conn", "reader" }, options = opts,
    run = function(ctx)
      local started = clock.now()
      if ctx.proxy then ctx.proxy:wait_ready(soonest(for_proxy.timeout, ctx.deadline), for_proxy.every) end
      local conn, tries = wait_database(ctx, for_database)
      ctx.emit("note", { message = ("database ready after %s (%d %s)"):format(duration.format(clock.now() - started),
        tries, tries == 1 and "try" or "tries") })
      ctx.conn = conn
      ctx:give("conn", conn)
      ctx:give("reader", reader.new(function() return engine.connect(ctx:config_for(), ctx.deadline) end))
    end,
    undo = function(ctx)
      if ctx.conn then ctx.conn:close() end
      if ctx:find("reader") then ctx:find("reader"):close() end
    end,
  }
end
