-- The production pipeline: from a push to a database that has what the code needs, or an exit code that stops the deploy.
--
--   migrator scripts/pipeline.lua
--
-- Set in the job's environment: NODE_ENV, and where the URL comes from:
--   DATABASE_URL, or SECRET_FROM=sm://PROJECT/NAME (file:PATH and cmd:PROGRAM ARG… as well)
-- and, when they are used:
--   GCP_PROVIDER, GCP_SERVICE_ACCOUNT   workload identity federation; without them what the machine itself has
--   CLOUD_SQL_INSTANCE                  PROJECT:REGION:INSTANCE, reached through cloud-sql-proxy
--   PROXY_COMMAND, PROXY_PORT           any other program in between, such as `ssh -N -L 15432:db:5432 bastion`
--   EXPECT_DATABASE                     the name that the database must have
--   HEALTH_URL                          asked before a deploy is let through
-- Everything here is yours to change: a step is data, its options are policies, a plain function is a step too.

local dir = env.get("MIGRATOR_DIR", "migrations")
local seeds = env.get("MIGRATOR_SEEDS", "seeds")
local secret = env.get("SECRET_FROM", "env:DATABASE_URL")
local instance = env.CLOUD_SQL_INSTANCE
local list = {}

local function add(step) list[#list + 1] = step end

-- What counts as a change. Without one the run still asks the database: a migration whose earlier run failed or was
-- cancelled is found by what is pending, not by what this push touched.
add(steps.detect { paths = { "./" .. dir .. "/**", "./" .. seeds .. "/**" } })

-- Who we are, proven before anything depends on it. Tokens stay in memory and are fetched again when they expire.
if env.GCP_PROVIDER or instance or secret:find("^sm:") then
  add(steps.auth { provider = env.GCP_PROVIDER, service_account = env.GCP_SERVICE_ACCOUNT })
end

-- The URL, hidden from here on in everything that is printed.
add(steps.secret { name = "DATABASE_URL", from = secret })

-- A proxy, looked over before it starts, watched while the run lasts, always stopped, its log always shown. The URL is
-- rewritten to go through it.
if instance then
  add(steps.proxy { "cloud_sql", instance = instance, program = env.CLOUD_SQL_PROXY, log = env.PROXY_LOG })
elseif env.PROXY_COMMAND then
  local cmd = {}
  for word in env.PROXY_COMMAND:gmatch("%S+") do cmd[#cmd + 1] = word end
  add(steps.proxy { cmd = cmd, port = math.tointeger(tonumber(env.get("PROXY_PORT", "5432"))), log = env.PROXY_LOG })
end

-- Ready means: the proxy says so, a server answers behind it, and a login runs `select 1`.
add(steps.wait { proxy = { every = 1, timeout = 60 }, database = { every = 2, timeout = 20 } })

-- Behind a proxy every database is 127.0.0.1: is it the one that is meant, and may this user do what it is about to do?
add(steps.preflight { dir = dir, expect = env.EXPECT_DATABASE and { database = env.EXPECT_DATABASE } or nil })

-- All pending migrations in one transaction; a statement waits five seconds for a lock, three times; what is older than
-- the newest applied one is refused by name.
add(steps.migrate { dir = dir, lock_timeout = "5s", tries = 3, tx = "all", order = "linear", wait = "60s" })

-- Layer 2: another reader of the journal, on another connection.
add(steps.verify { dir = dir, policy = policy.verify.strict })

-- The tiers that NODE_ENV allows; unset or unknown counts as production, where only `reference` runs.
add(steps.seed { dir = seeds })

-- The deploy's question: has the database what this checkout's code needs?
add(steps.gate { dir = dir })
if env.HEALTH_URL then add(steps.http { url = env.HEALTH_URL }) end

-- Always runs: a summary here; annotations, outputs (changed, applied, pending, gate) and a summary on GitHub.
add(steps.report { "text", "github" })

return pipeline { name = "migrate", deadline = "5m", steps = list }
