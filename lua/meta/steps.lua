---@meta migrator.steps

---The ready-made steps of a pipeline: options in, a step out. A wrong option is `script`, before anything runs.
---@class migrator.steps
local steps = {}

---@alias migrator.Duration number|string seconds, or such as "5s", "250ms", "2m"

---@class (exact) migrator.DetectStep
---@field paths string[] patterns as in `git.changed`
---@field base? string commit; without it the CI event says which, without a CI system the upstream branch or HEAD~1
---@field head? string commit, HEAD
---@field fetch? boolean ask `origin` for a commit that is not in the clone
---@field database? boolean false: end here when nothing changed, without a look at the database
---@field cwd? string

---@class (exact) migrator.AuthStep
---@field provider? string projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER
---@field service_account? string whose tokens to use; without it the federated token itself
---@field id_token? string "env:NAME" or "file:PATH" of the job's OIDC token; default: GitHub is asked
---@field audience? string of GitHub's token, when the provider wants another than its own name
---@field credentials? string path of a credentials file, or its JSON
---@field token? string an access token
---@field metadata? boolean the service account of this machine
---@field delegates? string[] service accounts in between
---@field lifetime? migrator.Duration of the service account's token, 55 minutes
---@field scopes? string[] cloud-platform
---@field quota_project? string whose quota and enabled APIs count
---@field endpoints? table<string, string> URLs of sts, iamcredentials, secretmanager, oauth2, sqladmin
---@field universe? string "googleapis.com"

---@class (exact) migrator.SecretStep
---@field name string "DATABASE_URL" gives the database of the run
---@field from string "env:NAME", "file:PATH", "cmd:PROGRAM ARG …", "sm://PROJECT/NAME[/VERSION]", "vault://MOUNT/PATH#FIELD", or your own scheme

---What every proxy takes.
---@class migrator.ProxyCommon
---@field port? integer where it listens; of a preset a free one is chosen
---@field host? string "127.0.0.1"
---@field log? string "proxy.log"
---@field env? table<string, string|number|false>|string[]
---@field ready? migrator.ProxyReady
---@field grace? migrator.Duration
---@field name? string
---@field sslmode? string of the way to the proxy: "disable" to what is known to speak TLS itself, else as the URL says
---@field allow? string[] rules of the lint that are accepted as they are

---A command line of yours, no shell; `port` is needed.
---@class migrator.ProxyStep: migrator.ProxyCommon
---@field cmd (string|number)[]
---@field port integer

---One of the presets `aws_ssm` `cloud_sql` `kubectl` `pgbouncer` `socat` `ssh`.
---@class migrator.ProxyPresetStep: migrator.ProxyCommon
---@field preset string may come first, without its name
---@field program? string its name or path
---@field args? string[] further arguments
---@field user? string as whom it runs, when we are root

---@class migrator.CloudSqlProxyStep: migrator.ProxyPresetStep
---@field instance string PROJECT:REGION:INSTANCE
---@field quota_project? string|false the instance's project
---@field connection_test? boolean true
---@field http_port? integer of its health check, a free one
---@field token? string|fun(deadline: number): string of steps.auth when it ran; goes by environment, never by argument
---@field credentials_file? string
---@field impersonate? string service accounts, as the program takes them
---@field endpoint? string of the Cloud SQL Admin API
---@field private_ip? boolean
---@field psc? boolean
---@field iam_auth? boolean log in as the identity
---@field login_token? string|fun(deadline: number): string for iam_auth

---@class migrator.SshProxyStep: migrator.ProxyPresetStep
---@field to string HOST or USER@HOST
---@field target? string HOST:PORT seen from there, else the URL's
---@field identity? string file of the key
---@field ssh_port? integer
---@field jump? string

---@class migrator.KubectlProxyStep: migrator.ProxyPresetStep
---@field resource string such as `svc/postgres`
---@field remote_port? integer 5432
---@field namespace? string
---@field context? string
---@field kubeconfig? string

---@class migrator.AwsSsmProxyStep: migrator.ProxyPresetStep
---@field instance string through which it goes
---@field target? string HOST:PORT seen from there, else the URL's
---@field region? string
---@field profile? string

---@class migrator.PgbouncerProxyStep: migrator.ProxyPresetStep
---@field config string its .ini; `port` is its listen_port

---@class migrator.SocatProxyStep: migrator.ProxyPresetStep
---@field target? string HOST:PORT or a socket's path, else the URL's

---@class (exact) migrator.WaitBudget
---@field every? migrator.Duration
---@field timeout? migrator.Duration

---@class (exact) migrator.WaitStep
---@field proxy? migrator.WaitBudget as steps.proxy says: every second for 30, Cloud SQL 60
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
---@field deployed? string|fun(): string|string[]|nil newest migration that running code knows: a tag, "file:PATH", "table:TABLE.COLUMN", an address
---@field expect? migrator.ExpectedDatabase another database is refused, before anything is done there
---@field restore? string the way back, said with the WAL's position when the run fails after it changed something
---@field audit? boolean|"all" a row of the run in migrator.audit

---@class (exact) migrator.ExpectedDatabase
---@field database? string
---@field host? string as we reach it: behind a proxy 127.0.0.1
---@field user? string
---@field system_identifier? string|integer of the cluster: pg_control_system()

---@class (exact) migrator.PreflightStep
---@field roles? string[] that must be there, besides those that pending migrations name
---@field extensions? string[] that must have been created
---@field connections? integer that the run may open, 4
---@field expect? migrator.ExpectedDatabase
---@field dir? string
---@field schema? string
---@field table? string

---@class (exact) migrator.GateStep
---@field require? string tag; default: the newest of this checkout
---@field missing? "refuse"|"allow" rows that this checkout does not know
---@field dir? string
---@field schema? string
---@field table? string

---@class (exact) migrator.PromoteStep
---@field from string where the other database's URL is, as `secrets.get` takes it: "env:STAGING_DATABASE_URL"
---@field dir? string
---@field schema? string
---@field table? string

---@class (exact) migrator.DriftStep
---@field against? string file of `migrator drift --snapshot`; without it the migrations run on a throw-away server
---@field ignore? string[] patterns over schema.object, with * and ?
---@field grants? boolean owners and grants too
---@field comments? boolean
---@field warn? boolean only say it
---@field dir? string
---@field schema? string
---@field table? string

---@class (exact) migrator.HttpStep
---@field url string
---@field status? integer|integer[] 200
---@field body? string|fun(body: string, answer: migrator.HttpResponse): boolean, string? pattern, or what decides; else JSON must not complain
---@field timeout? migrator.Duration until it must be well, 60 s
---@field every? migrator.Duration between two tries, 2 s
---@field headers? table<string, string|number>
---@field method? string
---@field name? string

---@class migrator.BeforeMigrate
---@field pending string[] tags
---@field database string
---@field user string
---@field recovery_point fun(): string?, string where a restore would have to stop to undo the run: the WAL's position, UTC

---@class (exact) migrator.RepeatableStep
---@field dir? string the setting `repeatable`, else `repeatable` or `policies` if that is there
---@field always? boolean also what did not change
---@field lock_timeout? migrator.Duration
---@field wait? migrator.Duration for another run's lock
---@field tries? integer

---@class (exact) migrator.RlsAuditStep
---@field column? string "organization_id"
---@field schemas? string[]
---@field except? string[]
---@field role? string
---@field grants? string[]
---@field warn? string[] rules that are only warned of

---@class (exact) migrator.AlembicStep
---@field versions? string folder of the revisions, "alembic/versions"
---@field table? string "alembic_version"
---@field schema? string of that table, else search_path's

---@class (exact) migrator.VerifyStep
---@field policy? "count"|"set"|"strict"|migrator.VerifyPolicy
---@field dir? string
---@field schema? string
---@field table? string

---@class (exact) migrator.SeedStep
---@field dir? string "seeds"
---@field tiers? string[] only these
---@field preset? string instead: one of seeds/presets.lua
---@field audit? boolean|"all"

---@class (exact) migrator.ResetStep
---@field confirm? string the phrase, MIGRATOR_CONFIRM; the terminal is asked outside of production
---@field dir? string
---@field seeds? string folder of what a later steps.seed runs, checked before the drop
---@field preset? string
---@field tiers? string[]
---@field schema? string of the tracking table
---@field table? string
---@field audit? boolean|"all"

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

---Proves who we are to Google Cloud; gives `auth`. Without a provider, file or token it takes what the environment has.
---Raises `config` for what is refused, with what to change; `http` and `timeout`.
---```lua
---steps.auth { provider = env.WIF_PROVIDER, service_account = env.WIF_SERVICE_ACCOUNT }
---```
---@param options? migrator.AuthStep
---@return migrator.Step
function steps.auth(options) end

---Takes a secret from where it is kept, and hides it in all that is printed; gives it by its name.
---Raises `config` when it is not there or empty, and what its scheme raises.
---```lua
---steps.secret { name = "DATABASE_URL", from = "file:/run/secrets/database-url" }
---```
---@param options migrator.SecretStep
---@return migrator.Step
function steps.secret(options) end

---Starts a program between us and the database, and turns the URL toward it. Always stopped; its log is shown.
---Raises `proxy`.
---```lua
---steps.proxy { "cloud_sql", instance = "shop-prod:europe-west1:main" }
---steps.proxy { cmd = { "my-tunnel", "--port", 5432 }, port = 5432 }
---```
---@param options migrator.ProxyStep|migrator.ProxyPresetStep of a preset: what the class of its name lists
---@return migrator.Step
function steps.proxy(options) end

---Waits until the proxy is ready and the database runs `select 1`; gives `conn`, and `reader`, which opens a session of
---its own when it is first used.
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

---Looks at everything that a run would stumble over, as `migrator doctor` does; a failure ends the run before it begins.
---Raises what the first failure is, with its mend as the hint.
---```lua
---steps.preflight { roles = { "app" }, extensions = { "vector" }, expect = { database = "shop" } }
---```
---@param options? migrator.PreflightStep
---@return migrator.Step
function steps.preflight(options) end

---Asks, read-only and on a connection of its own, whether the database has what this checkout's code needs; gives `gate`.
---Raises `verify` when it does not, `usage` for an unknown tag.
---@param options? migrator.GateStep
---@return migrator.Step
function steps.gate(options) end

---Looks whether what is pending here was applied to another database first, with the same hash; gives `promoted`, the tags.
---Both are only read, and no lock is taken.
---Raises `verify`, naming what was not; what `secrets.get` raises; `connect`.
---```lua
---steps.promote { from = "env:STAGING_DATABASE_URL" }
---```
---@param options migrator.PromoteStep
---@return migrator.Step
function steps.promote(options) end

---Compares the live schema with what the journal implies, as `migrator drift` does; gives `drift`.
---Raises `drift` when they differ, `config` where no server is installed and nothing is given to compare against.
---```lua
---steps.drift { against = "schema.json", ignore = { "audit.*" } }
---```
---@param options? migrator.DriftStep
---@return migrator.Step
function steps.drift(options) end

---Asks a deployed service until its status and body are right.
---Raises `verify` when it answers otherwise until the time is over, `http` when it does not answer.
---```lua
---steps.http { url = "https://shop.example/health", body = '"status": *"ok"', timeout = "2m" }
---```
---@param options migrator.HttpStep
---@return migrator.Step
function steps.http(options) end

---Runs the SQL scripts of a folder that are new or changed, each in one transaction; gives `repeatable`.
---Raises `parse` before anything runs for what cannot be in a transaction; `sql`, `lock`.
---```lua
---steps.repeatable { dir = "policies", lock_timeout = "5s" }
---```
---@param options? migrator.RepeatableStep
---@return migrator.Step
function steps.repeatable(options) end

---Fails the run when `rls.audit` finds something; gives `rls`, the findings.
---Raises `verify`.
---```lua
---steps.rls_audit { column = "organization_id", role = "app", except = { "organization" } }
---```
---@param options? migrator.RlsAuditStep
---@return migrator.Step
function steps.rls_audit(options) end

---Looks whether the database is at the one head of Alembic's revisions; gives `alembic`, its id.
---Raises `journal` for several heads, before anything runs; `verify`.
---```lua
---steps.alembic { versions = "alembic/versions" }
---```
---@param options? migrator.AlembicStep
---@return migrator.Step
function steps.alembic(options) end

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

---Drops everything, guarded as `migrator reset --drop` is, when all that comes after can be done; gives `dropped`.
---Raises `usage` without the phrase, `config`, `lock`.
---```lua
---steps.reset { preset = "full" }
---```
---@param options? migrator.ResetStep
---@return migrator.Step
function steps.reset(options) end

---Runs another program, with DATABASE_URL set to the database of this point.
---Raises `script` unless it exits 0.
---```lua
---steps.run { cmd = { "npm", "run", "smoke" }, timeout = "2m" }
---```
---@param options migrator.RunStep
---@return migrator.Step
function steps.run(options) end

---Says what became of the run, in each of these ways. Always runs, behind all other steps; one that cannot be written does
---not keep the others from it. `text` is the table of the steps; `github` annotations, step outputs and a summary (elsewhere
---nothing); `json:FILE` a document, `junit:FILE` a test report, `gitlab:FILE` GitLab's code quality.
---Raises `script` for a report that it does not know, `config` for a path that cannot become a file.
---```lua
---steps.report { "text", "github", "json:report.json", "junit:junit.xml", "gitlab:gl-code-quality-report.json" }
---```
---@param reports? string[] "text" by default; without `:FILE` the names above
---@return migrator.Step
function steps.report(reports) end

return steps
