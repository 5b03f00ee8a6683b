---steps.promote { from = "env:STAGING_DATABASE_URL" }: what is pending here must have been applied there, with the same
---hash. Both ledgers are only read; no lock is taken.
local classify = require "migrator.plan.classify"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local secrets = require "migrator.secrets"

local KNOWN = { from = "string!", dir = "string", schema = "string", table = "string" }
local PENDING = { pending = true, stranded = true }
local SAME = { applied = true, moved = true } -- both have the file's hash
local MOST = 5

local function look(config, deadline, read_only)
  local conn = engine.connect(config, deadline)
  local ok, session = pcall(function()
    if read_only then conn:exec "set session characteristics as transaction read only" end
    return engine.open(config, { deadline = deadline, conn = conn })
  end)
  conn:close()
  if ok then return session end
  error(session, 0)
end

---The ledger of the other database; that it is the other one which fails is said.
local function look_there(ctx, opts)
  local url = secrets.get(opts.from, { environment = ctx.config.environment, deadline = ctx.deadline,
    note = function(text) ctx.emit("note", { message = "promote: " .. text }) end,
    given = { auth = ctx:find("auth") } })
  local config = ctx:config_for({ url = url, dir = opts.dir, schema = opts.schema, table = opts.table },
    ctx.migrate_config)
  local ok, session = pcall(look, config, ctx.deadline, true)
  if ok then return session end
  if errors.is(session) and session.code ~= "interrupted" then
    session.message = "steps.promote: the database to promote from: " .. session.message
  end
  error(session, 0)
end

---@return string[] tags that are pending here, { tag: string, state: string }[] those that are not the same there
local function compare(entries, here, there)
  local mine, theirs, pending, lacking = classify.run(entries, here), classify.run(entries, there), {}, {}
  for i, item in ipairs(mine.items) do
    if PENDING[item.state] then
      pending[#pending + 1] = item.entry.tag
      local state = theirs.items[i].state
      if not SAME[state] then
        lacking[#lacking + 1] = { tag = item.entry.tag, state = state == "edited" and "applied there with another text"
          or state == "baseline" and "recorded there by hand" or "not applied there" }
      end
    end
  end
  return pending, lacking
end

local function refuse(lacking, pending, there)
  local named = {}
  for i = 1, math.min(#lacking, MOST) do named[i] = ("%s (%s)"):format(lacking[i].tag, lacking[i].state) end
  if #lacking > MOST then named[#named + 1] = ("and %d more"):format(#lacking - MOST) end
  errors.raise("verify", { message = ("%d of %d pending migration(s) were not tried on %s first: %s"):format(#lacking,
    #pending, there.state.database, table.concat(named, ", ")), state = "nothing was changed",
    hint = "deploy this very checkout there first; a file that was changed since is another migration" })
end

return function(given)
  local opts = options.check("promote", given, KNOWN)
  local scheme, why, hint = secrets.parse(opts.from)
  if not scheme then
    errors.raise("script", { message = "steps.promote: from: " .. why, step = "promote", hint = hint })
  end
  return {
    name = "promote", needs = { "dsn" }, gives = { "promoted" }, options = opts,
    run = function(ctx)
      local config = ctx:config_for({ dir = opts.dir, schema = opts.schema, table = opts.table }, ctx.migrate_config)
      local journal = engine.journal(config)
      local there = look_there(ctx, opts)
      local here = look(config, ctx.deadline)
      local pending, lacking = compare(journal.entries, here.rows, there.rows)
      ctx.results.promote = { from = there.state.database, pending = pending, lacking = lacking }
      if #lacking > 0 then refuse(lacking, pending, there) end
      ctx.sink:line(("Promote: the %d pending migration(s) were applied on %s, with the same hashes."):format(#pending,
        there.state.database))
      ctx:give("promoted", pending)
    end,
  }
end
