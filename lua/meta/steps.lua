---@meta migrator.steps

---The ready-made steps of a pipeline: options in, a step out. A wrong option is `script`, before anything runs.
---@class migrator.steps
local steps = {}

---@alias migrator.Duration number|string seconds, or such as "5s", "250ms", "2m"

---@class (exact) migrator.DetectStep
---@field paths string[] patterns as in `git.changed`
---@field base? string commit; without it the CI event says which
---@field head? string commit, HEAD
---@field fetch? boolean
---@field database? boolean false: end here when nothing changed, without a look at the database
---@field cwd? string

---@class (exact) migrator.SecretStep
---@field name string "DATABASE_URL" gives the database of the run
---@field from string "env:NAME", "file:PATH" or "cmd:PROGRAM ARG …"

---@class (exact) migrator.ProxyStep
---@field cmd (string|number)[] program and arguments, no shell
---@field port integer where it listens
---@field host? string "127.0.0.1"
---@field log? string "proxy.log"
---@field env? table<string, string|number|false>|string[]
---@field ready? migrator.ProxyReady
---@field grace? migrator.Duration
---@field name? string
---@field sslmode? string of the way to the proxy, "disable"

---@class (exact) migrator.WaitBudget
---@field every? migrator.Duration
---@field timeout? migrator.Duration

---@class (exact) migrator.WaitStep
---@field proxy? migrator.WaitBudget every second for 30
---@field database? migrator.WaitBudget every 2 seconds for 20

---@class (exact) migrator.MigrateStep
---@field dir? string
---@field lock_timeout? migrator.Duration
---@field statement_timeout? migrator.Duration
---@field tx? "all"|"file"|"none"
---@field order? "linear"|"non-linear"
---@field edited? "refuse"|"allow"
---@field missing? "refuse"|"allow"
---@field baseline? "refuse"|"run"
---@field orphans? "forgotten"|"refuse"|"allow"
---@field wait? migrator.Duration for another run's lock
---@field tries? integer
---@field retry? fun(err: migrator.Error, attempt: integer): number? such as policy.retry.lock { tries = 5 }; before `tries`
---@field lock_first? boolean every lock of a transaction before its first statement, or none
---@field victims? migrator.Duration|migrator.VictimsPolicy when to give way to sessions that wait behind ours
---@field snapshot_timeout? migrator.Duration how long CONCURRENTLY may wait for older transactions
---@field before? fun(run: migrator.BeforeMigrate) called when something is pending, before anything changes; an error stops
---@field schema? string of the tracking table
---@field table? string the tracking table
---@field expect_changes? boolean nothing pending is an error

---@class migrator.BeforeMigrate
---@field pending string[] tags
---@field database string
---@field user string
---@field recovery_point fun(): string?, string where a restore would have to stop to undo the run: the WAL's position, UTC

---@class (exact) migrator.VerifyStep
---@field policy? "count"|"set"|"strict"|migrator.VerifyPolicy
---@field dir? string
---@field schema? string
---@field table? string

---@class (exact) migrator.SeedStep
---@field dir? string "seeds"
---@field tiers? string[] only these

---@class (exact) migrator.RunStep
---@field cmd (string|number)[] program and arguments, no shell
---@field name? string
---@field cwd? string
---@field env? table<string, string>
---@field timeout? migrator.Duration

---Looks whether this push touched what matters; gives `changes`.
---With nothing changed and nothing pending the run ends green.
---Raises `config` for a pattern that matches no file.
---```lua
---steps.detect { paths = { "migrations/**", "seeds/**" } }
---```
---@param options migrator.DetectStep
---@return migrator.Step
function steps.detect(options) end

---Takes a secret from where it is kept, and hides it in all that is printed; gives it by its name.
---Raises `config` when it is not there or empty.
---```lua
---steps.secret { name = "DATABASE_URL", from = "file:/run/secrets/database-url" }
---```
---@param options migrator.SecretStep
---@return migrator.Step
function steps.secret(options) end

---Starts a program between us and the database, and turns the URL toward it. Always stopped; its log is shown.
---Raises `proxy`.
---```lua
---steps.proxy { cmd = { "cloud-sql-proxy", instance, "--port", 5432 }, port = 5432 }
---```
---@param options migrator.ProxyStep
---@return migrator.Step
function steps.proxy(options) end

---Waits until the proxy is ready and the database runs `select 1`; gives `conn`.
---Raises `proxy`, `connect`, `timeout`.
---@param options? migrator.WaitStep
---@return migrator.Step
function steps.wait(options) end

---Applies what is pending, as `migrator migrate` does; gives `migrated`, the number applied.
---Raises what the command would fail with.
---```lua
---steps.migrate { dir = "migrations", lock_timeout = "5s", tx = "all" }
---```
---@param options? migrator.MigrateStep
---@return migrator.Step
function steps.migrate(options) end

---Checks the outcome with another reader on another connection; gives `verified`.
---Raises `verify`.
---@param options? migrator.VerifyStep
---@return migrator.Step
function steps.verify(options) end

---Runs the seed tiers that the environment allows.
---Raises `seed`.
---@param options? migrator.SeedStep
---@return migrator.Step
function steps.seed(options) end

---Runs another program, with DATABASE_URL set to the database of this point.
---Raises `script` unless it exits 0.
---```lua
---steps.run { cmd = { "npm", "run", "smoke" }, timeout = "2m" }
---```
---@param options migrator.RunStep
---@return migrator.Step
function steps.run(options) end

---Says what became of the run. Always runs.
---```lua
---steps.report { "text", "github", "json:report.json" }
---```
---@param reports? string[] "text", "github", "json:FILE"
---@return migrator.Step
function steps.report(reports) end

return steps
