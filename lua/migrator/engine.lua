---Journal, database and policies brought together: open, look, plan, apply. What the commands and the pipeline steps
---share.
local lazy = require "migrator.lib.lazy"
local aftermath = lazy.require "migrator.aftermath"
local apply = lazy.require "migrator.apply"
local clock = require "migrator.core.clock"
local config_module = require "migrator.config"
local db = require "migrator.db"
local deployed = lazy.require "migrator.deployed"
local errors = require "migrator.error"
local facts = lazy.require "migrator.plan.facts"
local host = require "migrator.core.host"
local journal = lazy.require "migrator.journal"
local marker = lazy.require "migrator.marker"
local phase = lazy.require "migrator.plan.phase"
local plan = lazy.require "migrator.plan"
local repeatable = lazy.require "migrator.repeatable"
local retry = lazy.require "migrator.policy.retry"
local run_lock = require "migrator.run_lock"
local segments = lazy.require "migrator.plan.segments"
local server = lazy.require "migrator.server"
local tracking_table = lazy.require "migrator.tracking"
local victims = lazy.require "migrator.policy.victims"
local watch = lazy.require "migrator.apply.watch"

local M = {}

local WATCHER_SECONDS = 2

---@class migrator.Session
---@field conn migrator.Conn
---@field tracking migrator.Tracking
---@field state table what server.look found
---@field rows migrator.Row[]

local function connect_options(config, deadline)
  local asked = config.origins.lock_timeout ~= "default"
  return { lock_timeout = config.lock_timeout, statement_timeout = config.statement_timeout > 0
    and config.statement_timeout or nil,
    connect_timeout = config.connect_timeout, override = asked, deadline = deadline }
end

---The instant at which the whole command must be over, or nil.
function M.deadline(config) return config.deadline > 0 and clock.deadline(config.deadline) or nil end

---@param config migrator.Config
---@param deadline? number
function M.connect(config, deadline)
  return db.connect(config_module.need_url(config), connect_options(config, deadline))
end

---Connects, and takes the first look, while the journal is read. What is wrong with the URL is said after what is wrong
---with the journal.
local function connect_later(config, opts)
  if opts.conn then return nil end
  local ok, take, is_due = pcall(function()
    return db.connect_later(server.check_url(config_module.need_url(config)), connect_options(config, opts.deadline),
      server.questions(tracking_table.new(config.schema, config.table), true))
  end)
  return function()
    if not ok then error(take, 0) end
    return take()
  end, is_due
end

---A server takes longer to let us in than a short journal to be read: what pending files need is loaded meanwhile.
local function load_ahead(is_due)
  if is_due and not is_due() then require "migrator.plan.segments" end
  if is_due and not is_due() then require "migrator.apply" end
end

local function check_marker(config, session, opts)
  if session.state.marker and not opts.unmarked then marker.check(config, session.state) end
end

---Connects and takes the first look. With opts.lock the run lock is ours when it returns.
---@param config migrator.Config
---@param opts { lock?: boolean, unmarked?: boolean, emit?: function, deadline?: number, conn?: migrator.Conn,
---  take?: function } unmarked: whatever the database says of itself; take: of connect_later, and with lock
---@return migrator.Session
function M.open(config, opts)
  local emit = opts.emit or function() end
  local conn, answers = opts.conn, nil
  if not conn then conn, answers = (opts.take or M.connect)(config, opts.deadline) end
  local session = { conn = conn, tracking = tracking_table.new(config.schema, config.table) }
  local ok, err = pcall(function()
    session.state, session.rows = server.look(conn, session.tracking, opts.lock or false, nil, answers)
    if not opts.lock then return end
    check_marker(config, session, opts)
    local notice = server.check(session.state, conn, function() return M.connect(config, opts.deadline) end)
    if notice then -- what was read before the lock was ours may be old
      emit("warning", { message = notice })
      if session.state.lock_timeout == "0" then server.limit(conn, connect_options(config)) end
      session.state, session.rows = server.look(conn, session.tracking, true, session.state.pid)
    end
    run_lock.wait(config, session, emit)
    check_marker(config, session, opts) -- whom we waited for may have set it
  end)
  if not ok then
    conn:close()
    error(err, 0)
  end
  return session
end

---@param config migrator.Config
function M.journal(config) return journal.load(config.dir, { orphans = config.orphans }) end

---Opens a session for a journal. Which files are pending only the database knows, so they are read as SQL afterwards;
---when it cannot be reached, what is wrong in any of them is the better news, because the repository can be mended now.
function M.open_for(entries, config, opts)
  local ok, session = pcall(M.open, config, opts)
  if ok then return session end
  if errors.is(session, "connect") then segments.build(entries.entries, config.tx) end
  error(session, 0)
end

---@param config migrator.Config
---@param entries migrator.Journal
---@param session migrator.Session
---@return migrator.Plan
function M.plan(config, entries, session, keep)
  local policy = { order = config.order, edited = config.edited, missing = config.missing, baseline = config.baseline,
    tx = config.tx }
  return plan.build(entries, session.rows, policy, function(found) return facts.gather(found, session) end, keep)
end

---Raises the first problem of a plan; the others are in its `others`.
function M.refuse(found)
  local first = found.problems[1]
  if not first then return end
  local others = {}
  for i = 2, #found.problems do others[#others + 1] = found.problems[i].message .. "\n" .. found.problems[i].hint end
  local left = ("%d pending"):format(#found.pending)
  if found.counts.stranded > 0 then left = left .. (", %d stranded"):format(found.counts.stranded) end
  errors.raise(first.code, { message = first.message, hint = first.hint, file = first.file, line = first.line,
    detail = #others > 0 and table.concat(others, "\n") or nil, refused = found.problems,
    state = ("nothing was changed; %d of %d applied, %s"):format(found.applied, found.expected, left) })
end

---Gives the run lock back: with the session, or alone when the session is somebody else's.
---@param session migrator.Session
---@param keep? migrator.Conn the session that stays open
function M.release(session, keep)
  if session.conn ~= keep then
    session.conn:close()
  elseif keep:status() == "idle" then
    pcall(keep.exec, keep, "select pg_catalog.pg_advisory_unlock($1::int8)", session.tracking.key)
  end
end

---The script's last word before anything changes: the run lock is held, what is pending is known.
local function call_before(policy, found, session)
  if not policy.before then return end
  local tags = {}
  for i, entry in ipairs(found.pending) do tags[i] = entry.tag end
  policy.before { pending = tags, database = session.state.database, user = session.state.user,
    recovery_point = function() return server.recovery_point(session.conn) end }
end

---Runs where an application starts would race with each other and with the deploy.
function M.check_attended(config)
  if not config.attended or config.environment.CI or host.terminal("stderr") then return end
  errors.raise("config", { message = "refused: neither CI nor a terminal (--attended)",
    hint = "migrations belong into the deploy, not into an application's start; CI=true says that this is the deploy" })
end

---Behind the last commit: what is said of it, and the scripts outside the journal, which may need what it made.
local function finish(config, result, session, scripts, emit, opts)
  if result.outcome.failed then return end
  if config.rehearse then return emit("rehearsed", { count = result.outcome.rehearsed or 0 }) end
  emit("done", { applied = #result.outcome.applied, expected = result.plan.expected })
  if not scripts then return end
  result.repeatable = repeatable.run(scripts, session, emit, { deadline = opts.deadline,
    retry = opts.policy and opts.policy.retry or retry.lock { tries = config.tries } })
end

---Everything of `migrate`. Always returns; the failure, if there was one, is in the result. opts.after sees both.
---@param config migrator.Config
---@param emit fun(name: string, data: table)
---@param opts? { conn?: migrator.Conn, deadline?: number, policy?: migrator.RunPolicy, after?: function }
---@return { plan?: migrator.Plan, outcome?: migrator.Outcome, error?: migrator.Error, server?: table }
function M.migrate(config, emit, opts)
  opts = opts or {}
  local result, policy = { started = clock.now() }, opts.policy or {}
  local before, session = opts.conn and opts.conn:round_trips() or 0, nil
  local ok, err = pcall(function()
    M.check_attended(config)
    local take, is_due = connect_later(config, opts)
    local how = { lock = true, emit = emit, deadline = opts.deadline, conn = opts.conn, take = take }
    local entries = M.journal(config)
    load_ahead(is_due)
    local scripts = config.repeatable and repeatable.load(config.repeatable)
    session = M.open_for(entries, config, how)
    result.server = session.state
    if policy.look then policy.look(session) end
    local found = M.plan(config, entries, session)
    result.plan = found
    emit("state", { applied = found.applied, expected = found.expected, pending = #found.pending })
    for _, finding in ipairs(found.findings) do emit("finding", finding) end
    M.refuse(found)
    if #found.pending > 0 then
      phase.check(found, function() return deployed.ask(config, policy.deployed, session, opts.deadline) end)
      call_before(policy, found, session)
      aftermath.mark(config, result, session.conn)
    end
    emit("begin", { total = #found.pending })
    result.outcome = M.apply(config, found, session, emit, opts.policy, opts.deadline)
    finish(config, result, session, scripts, emit, opts)
  end)
  if not ok then
    aftermath.explain(result, errors.wrap(err, "internal"))
  elseif result.outcome.failed then
    aftermath.explain(result, result.outcome.failed.error)
  end
  if session then
    result.round_trips = session.conn:round_trips() - before
    if opts.after then opts.after(session, result) end -- whatever became of it
    M.release(session, opts.conn)
  end
  result.elapsed = clock.now() - result.started
  return result
end

---A session that only looks: it must not keep the run waiting, and takes no lock that could be in anybody's way.
local function connect_watcher(config)
  return db.connect(config_module.need_url(config), { connect_timeout = WATCHER_SECONDS, override = true,
    application_name = "migrator watch", lock_timeout = WATCHER_SECONDS, statement_timeout = WATCHER_SECONDS })
end

---@param policy { retry?: function, victims?: function } of a script; else what the configuration says
local function new_watch(config, policy, emit)
  return watch.new { connect = function() return connect_watcher(config) end, emit = emit,
    lock_timeout = config.lock_timeout, snapshot_timeout = config.snapshot_timeout,
    victims = policy.victims or (config.victims > 0 and victims.limit { seconds = config.victims }) or nil }
end

---@param policy? { retry?: function, victims?: function }
---@return migrator.Outcome
function M.apply(config, found, session, emit, policy, deadline)
  if #found.segments == 0 and session.state.tracked then return { applied = {}, pending = {}, elapsed = 0 } end
  policy = policy or {}
  local ctx = { conn = session.conn, pid = session.state.pid, tracking = session.tracking, rows = session.rows,
    tracked = session.state.tracked, has_schema = session.state.has_schema, emit = emit, rehearse = config.rehearse,
    lock_first = config.lock_first, deadline = deadline, retry = policy.retry or retry.lock { tries = config.tries },
    patience = config.connect_timeout > 0 and config.connect_timeout or 30 }
  local watching <close> = new_watch(config, policy, emit)
  ctx.watch = watching
  function ctx:answer(batch, meta) return watching:answer(batch, meta, self.pid) end
  function ctx.reconnect(until_when) return M.connect(config, until_when) end
  function ctx.relock()
    ctx.pid = M.open(config, { lock = true, emit = emit, deadline = deadline, conn = ctx.conn }).state.pid
  end
  local outcome = apply.run(found, ctx)
  session.conn = ctx.conn
  return outcome
end

return M
