---steps.alembic { versions = "alembic/versions" }: what another migrator was to do, looked at: the repository has one
---head, and that is what the database records. The first is found out before any step acts.
local alembic = require "migrator.alembic"
local engine = require "migrator.engine"
local options = require "migrator.steps.options"
local sql = require "migrator.core.sql"

local KNOWN = { versions = "string", table = "string", schema = "string" }

local function recorded(conn, name)
  if not conn:value("select pg_catalog.to_regclass($1) is not null", name) then return nil end
  local out = {}
  for i, row in ipairs(conn:exec(("select version_num from %s order by 1"):format(name))) do
    out[i] = row.version_num
  end
  return out
end

return function(given)
  local opts = options.check("alembic", given, KNOWN)
  local folder = opts.versions or "alembic/versions"
  local name = (opts.schema and sql.quote_ident(opts.schema) .. "." or "")
    .. sql.quote_ident(opts.table or "alembic_version")
  return {
    name = "alembic", needs = { "dsn" }, gives = { "alembic" }, options = opts,
    check = function() alembic.head(folder) end,
    run = function(ctx)
      local head, by_id = alembic.head(folder)
      if ctx.conn then
        alembic.check(head, by_id, recorded(ctx.conn, name))
      else
        local conn <close> = engine.connect(ctx:config_for(nil, ctx.migrate_config), ctx.deadline)
        alembic.check(head, by_id, recorded(conn, name))
      end
      ctx:give("alembic", head.id)
      ctx.sink:line(("Verified: the database is at Alembic's head %s."):format(head.id))
    end,
  }
end
