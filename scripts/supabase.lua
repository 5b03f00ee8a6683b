-- A pipeline around another migrator: Alembic makes the schema, policies are repeatable scripts, and the outcome is looked
-- at. Made for Supabase, where the application goes through a pooler and migrations must not.
--
--   migrator scripts/supabase.lua
--
-- Set in the job's environment: DATABASE_URL, the direct one. Alembic's env.py reads the same variable.

local versions = env.get("ALEMBIC_VERSIONS", "alembic/versions")
local command = {}
for word in env.get("ALEMBIC", "alembic upgrade head"):gmatch("%S+") do command[#command + 1] = word end

local POOLER, DIRECT, LOCK = 6543, 5432, 7264532901

-- The transaction pooler forgets settings and locks from one transaction to the next. The same address with port 5432 is
-- the server, or the pool in session mode, which is as good.
local function direct(ctx)
  local parts = url.parse(ctx:need "dsn")
  local pooled = false
  for _, host in ipairs(parts.hosts) do
    if host.port == POOLER then host.port, pooled = DIRECT, true end
  end
  if pooled then
    error(("DATABASE_URL leads to the transaction pooler (port %d): use %s"):format(POOLER,
      url.redact(url.format(parts))), 0)
  end
end

-- Alembic itself takes no lock: two pipelines at once would both upgrade. Held by the session of steps.wait.
local function lock(ctx)
  local deadline = clock.deadline(60)
  while not ctx.conn:value("select pg_catalog.pg_try_advisory_lock($1)", LOCK) do
    if clock.now() > deadline then error("another pipeline is migrating this database", 0) end
    clock.sleep(0.5)
  end
end

local list = {
  steps.secret { name = "DATABASE_URL", from = env.get("SECRET_FROM", "env:DATABASE_URL") },
  { name = "direct", needs = { "dsn" }, run = direct },
  steps.wait { database = { every = 2, timeout = 20 } },
  { name = "lock", needs = { "conn" }, run = lock },

  -- As a connection option the limit holds from the first statement, whatever program connects.
  steps.run { name = "upgrade", cmd = command, env = { PGOPTIONS = "-c lock_timeout=5000" }, timeout = "4m" },

  -- An exit code of 0 is not trusted: the revision that the database records must be the repository's one head. Several
  -- heads are refused before anything runs.
  steps.alembic { versions = versions },

  -- The application's own login passes by row-level security: policies are a second wall, and stay out of migrations.
  steps.repeatable { dir = env.get("POLICIES", "policies"), lock_timeout = "5s", tries = 3 },
}

-- With the tenants' column named, a table that has it and does not keep the tenants apart stops the deploy.
if env.TENANT_COLUMN then
  list[#list + 1] = steps.rls_audit { column = env.TENANT_COLUMN, role = env.APP_ROLE }
end

list[#list + 1] = steps.report { "text", "github" }

return pipeline { name = "supabase", deadline = "5m", steps = list }
