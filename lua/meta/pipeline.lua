---@meta migrator.pipeline

---@class migrator.Step
---@field name? string
---@field needs? string[] given by an earlier step or by the configuration, such as "dsn"
---@field gives? string[]
---@field check? fun(ctx: migrator.Context) looks at its options before anything runs
---@field early? fun(ctx: migrator.Context) begins what may take long while the step before it runs; `run` must do without
---@field run fun(ctx: migrator.Context)
---@field undo? fun(ctx: migrator.Context, err: migrator.Error?) runs when the pipeline ends, last step first
---@field always? boolean runs after the others, whatever became of them
---@field options? table for whoever looks at the pipeline

---@class migrator.PipelineOptions
---@field name? string
---@field deadline? string|number such as "10m": how long the whole run may take
---@field steps (migrator.Step|fun(ctx: migrator.Context))[]

---A pipeline, to be returned by the script.
---@class migrator.Pipeline
---@field name string
---@field deadline? string|number
---@field steps migrator.Step[]

---A session that can only look; `ctx:need "reader"` behind steps.wait gives one, which connects when first used. Each
---statement is alone in a read-only transaction that is rolled back, so nothing that it sets outlives it, and PostgreSQL
---refuses whatever writes. What PostgreSQL lets a read-only transaction do it can do too: NOTIFY, advisory locks, a
---superuser's functions. It is the database's user that should have no more rights than it needs.
---Functions given as policies are told facts and get no session at all.
---@class migrator.Reader
---@field exec fun(self: migrator.Reader, sql: string, ...: migrator.Parameter): migrator.Rows
---@field row fun(self: migrator.Reader, sql: string, ...: migrator.Parameter): table<string, any>?
---@field value fun(self: migrator.Reader, sql: string, ...: migrator.Parameter): any?
---@field close fun(self: migrator.Reader) the pipeline's end does it

---What the steps share.
---@class migrator.Context
---@field config table<string, any> every setting by name; `environment` is a table of variables
---@field args string[] of the script
---@field deadline? number
---@field results table<string, any> what the steps found, for the report
---@field record {name: string, status: string, elapsed: number}[]
---@field sink any
---@field emit fun(name: string, data: table)
---@field conn? migrator.Conn opened by steps.wait; it may change anything, `ctx:need "reader"` nothing
---@field proxy? migrator.Proxy started by steps.proxy
---@field error? migrator.Error set when the steps marked `always` run
local Context = {}

---Gives a value to the steps behind this one.
---@param name string
---@param value any
function Context:give(name, value) end

---Returns what an earlier step gave.
---@param name string
---@return any? value
function Context:find(name) end

---Returns what an earlier step gave, and must have.
---Raises `script` when it did not.
---@param name string
---@return any value
function Context:need(name) end

---Returns the configuration with other settings over it, and the database as of now.
---Raises `config` for a value that the setting does not take.
---@param overrides? table<string, any>
---@param base? table<string, any> another configuration
---@return table<string, any> config
function Context:config_for(overrides, base) end

---Ends the pipeline here, green: the steps behind are skipped.
---@param reason string said in the output
function Context:stop(reason) end

---Makes a pipeline. The chain of needs and gives is checked before anything runs.
---Raises `script` for what is not a step.
---```lua
---return pipeline { name = "production", steps = {
---  steps.migrate { lock_timeout = "5s" },
---  steps.verify { policy = policy.verify.strict },
---  function(ctx) log.info("%d applied", ctx:find "migrated") end,
---} }
---```
---@param spec migrator.PipelineOptions|(migrator.Step|fun(ctx: migrator.Context))[]
---@return migrator.Pipeline
function pipeline(spec) end

return pipeline, { ["migrator.Context"] = Context }
