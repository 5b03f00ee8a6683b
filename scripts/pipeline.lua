-- The production pipeline: from a push to a database that has what the code needs, or an exit code that stops the deploy.
--
--   migrator scripts/pipeline.lua
--
-- Set in the job's environment: DATABASE_URL, NODE_ENV, and PROXY_COMMAND when the database is reached through a proxy.
-- Everything here is yours to change: a step is data, its options are policies, a plain function is a step too.

local dir = env.get("MIGRATOR_DIR", "migrations")
local seeds = env.get("MIGRATOR_SEEDS", "seeds")
local port = math.tointeger(tonumber(env.get("PROXY_PORT", "5432")))

local list = {
  -- What counts as a change. Without one the run still asks the database: a migration whose earlier run failed or was
  -- cancelled is found by what is pending, not by what this push touched.
  steps.detect { paths = { dir .. "/**", seeds .. "/**" } },

  -- Where the URL comes from: env:NAME, file:PATH or cmd:PROGRAM ARG…. It is masked in everything printed from here on.
  steps.secret { name = "DATABASE_URL", from = env.get("SECRET_FROM", "env:DATABASE_URL") },
}

-- A proxy in between (cloud-sql-proxy, ssh -L, kubectl port-forward, socat, …), watched while the run lasts and always
-- stopped; the URL is rewritten to go through it. For one with a health endpoint add
--   ready = { url = "http://127.0.0.1:9801/readiness", every = 1, timeout = 30 }
if env.PROXY_COMMAND then
  local cmd = {}
  for word in env.PROXY_COMMAND:gmatch("%S+") do cmd[#cmd + 1] = word end
  list[#list + 1] = steps.proxy { cmd = cmd, port = port, log = env.get("PROXY_LOG", "proxy.log") }
end

for _, step in ipairs {
  -- Ready means: the proxy says so, the server answers, and a login runs `select 1`.
  steps.wait { proxy = { every = 1, timeout = 30 }, database = { every = 2, timeout = 20 } },

  -- All pending migrations in one transaction; a statement waits five seconds for a lock, three times; what is older than
  -- the newest applied one is refused by name.
  steps.migrate { dir = dir, lock_timeout = "5s", tries = 3, tx = "all", order = "linear", wait = "60s" },

  -- Layer 2: another reader of the journal, on another connection.
  steps.verify { dir = dir, policy = policy.verify.strict },

  -- The tiers that NODE_ENV allows; unset or unknown counts as production, where only `reference` runs.
  steps.seed { dir = seeds },

  -- Always runs: a summary here, annotations and outputs on GitHub.
  steps.report { "text", "github" },
} do
  list[#list + 1] = step
end

return pipeline { name = "migrate", deadline = "5m", steps = list }
