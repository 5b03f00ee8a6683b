---steps.wait { proxy = { every, timeout }, database = { every, timeout } }: three levels of readiness, each with its
---own budget:
---the proxy says so, the server answers, and a real login runs `select 1`.
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local duration = require "migrator.lib.duration"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local options = require "migrator.steps.options"
local reader = require "migrator.reader"
local url = require "migrator.lib.url"

local KNOWN = { proxy = "table", database = "table" }
local BUDGET = { every = "duration", timeout = "duration" }

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

local PING_SECONDS = "2" -- what a look at the server may take: libpq's own limit, which takes whole seconds from 2 on

---The second level, behind a proxy: does a server answer at all? A login that fails cannot tell the two apart.
local function look(ctx)
  local words = {}
  for key, value in pairs((url.conninfo(ctx:need "dsn"))) do words[key] = value end
  words.connect_timeout = PING_SECONDS
  local answer = db.ping(words)
  if answer == "accepting" then return end
  local told = answer == "rejecting" and "the server is starting up or shutting down" or "no server answers behind it"
  local err = errors.new("connect", "the proxy is ready, but " .. told)
  err.retry = true
  error(err, 0)
end

---A login through a proxy fails for reasons that only the proxy's log names. Raises when waiting cannot help.
local function blame_proxy(ctx, result)
  local said, reason = ctx.proxy:epitaph()
  if said then
    errors.raise("proxy", { message = "the proxy ended while we waited for the database: " .. said,
      detail = reason and reason.line or ctx.proxy:log_tail(5), hint = reason and reason.hint, cause = result })
  end
  if not errors.is(result, "connect") or result.sqlstate then return end
  reason = ctx.proxy:reason()
  if not reason then return end
  if not reason.passing then
    errors.raise("proxy", { message = ("%s cannot reach the database: %s"):format(ctx.proxy.name, reason.why),
      detail = reason.line, hint = reason.hint, reason = reason.name, cause = result })
  end
  if not result.blamed then
    result.blamed, result.message = true, result.message .. ": " .. reason.why
    result.detail, result.hint = reason.line, reason.hint
  end
end

local function wait_database(ctx, config, limits)
  local deadline = clock.deadline(limits.timeout)
  if ctx.deadline then deadline = math.min(deadline, ctx.deadline) end
  local started, tries, pause = clock.now(), 0, FIRST_PAUSE
  while true do
    tries = tries + 1
    local ok, result = pcall(function()
      if ctx.proxy then look(ctx) end
      local conn = engine.connect(config, deadline)
      conn:set_deadline(deadline)
      conn:value("select 1")
      conn:set_deadline(ctx.deadline)
      return conn
    end)
    if ok then return result, tries end
    local worth = errors.is(result, "timeout") or (errors.is(result, "connect") and result.retry)
    if ctx.proxy then blame_proxy(ctx, result) end
    if not worth or clock.now() + pause > deadline then
      failure.name_deadline(result, clock.now() >= deadline and deadline ~= ctx.deadline and deadline or nil,
        limits.timeout, "steps.wait: database.timeout")
      if worth then tell(result, clock.now() - started, tries) end
      error(result, 0)
    end
    clock.sleep(pause)
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
      local conn, tries = wait_database(ctx, ctx:config_for(), for_database)
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
