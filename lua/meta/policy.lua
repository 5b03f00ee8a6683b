---@meta migrator.policy

---Policies: facts in, a decision out. A script names a ready-made one, or gives a function.
---@class migrator.policy
---@field advice table<string, migrator.Advice> hints by SQLSTATE, for errors that have none: `policy.advice["55P03"] = "…"`
local policy = {}

---@alias migrator.Advice string|fun(err: migrator.Error): string?

---How long to wait for another run's lock.
---@class migrator.policy.lock
---@field fail migrator.LockPolicy not at all
policy.lock = {}

---@class migrator.LockPolicy
---@field timeout number seconds
---@field every number seconds between two looks

---Waits for the lock.
---@param seconds number
---@param every? number 0.5
---@return migrator.LockPolicy
function policy.lock.wait(seconds, every) end

---When to try again, and after how long.
---@class migrator.policy.retry
policy.retry = {}

---@class (exact) migrator.BackoffOptions
---@field tries? integer 3
---@field base? number seconds before the second try, 0.5
---@field cap? number seconds at most, 10
---@field random? fun(): number

---Returns a policy with exponential back-off and jitter.
---@param options? migrator.BackoffOptions
---@return fun(attempt: integer): number? seconds nil: give up
function policy.retry.backoff(options) end

---Returns a policy that tries again on lock_timeout, deadlock and after giving way to others: there all was rolled back.
---@param options? migrator.BackoffOptions
---@return fun(err: migrator.Error, attempt: integer): number? seconds nil: give up
function policy.retry.lock(options) end

---Never tries again.
---@return nil
function policy.retry.none() end

---When to give way to the sessions that wait behind a statement of ours: it is cancelled, rolled back and tried again.
---@class migrator.policy.victims
policy.victims = {}

---@class migrator.VictimsFacts
---@field sessions integer how many wait behind us
---@field longest number seconds that the first of them has waited
---@field elapsed number seconds of our statement
---@field migration string? tag
---@field blockers table[] who is in our way: pid, user, application, state, query, age (seconds), modes

---@alias migrator.VictimsPolicy fun(facts: migrator.VictimsFacts): boolean?

---@class (exact) migrator.VictimsLimit
---@field seconds number that the first of them may wait
---@field sessions? integer how many it takes, 1

---Gives way when enough sessions wait and the first of them has waited for too long.
---@param options migrator.VictimsLimit
---@return migrator.VictimsPolicy
function policy.victims.limit(options) end

---Never gives way.
---@return boolean
function policy.victims.none() end

---What counts as verified.
---@class migrator.policy.verify
policy.verify = {}

---@class migrator.VerifyFacts
---@field database string
---@field table string of the tracking rows
---@field tracked boolean whether that table is there
---@field entries migrator.VerifyEntry[] in the journal's order
---@field rows {id: integer, hash: string, created_at: integer?}[] by id
---@field invalid_indexes {name: string, table: string, building: boolean}[]
---@field not_validated {name: string, table: string}[]
---@field allow {edited: boolean?} what the project permits on purpose

---@class migrator.VerifyEntry
---@field position integer
---@field tag string
---@field when integer
---@field hash string of the file as it is
---@field path string

---@class migrator.VerifyFinding
---@field rule string
---@field severity "error"|"warning"|"info"
---@field object? string
---@field expected? any
---@field actual? any
---@field message string

---@alias migrator.VerifyPolicy fun(facts: migrator.VerifyFacts): migrator.VerifyFinding[]

---Compares the number of rows with the number of entries.
---@param facts migrator.VerifyFacts
---@return migrator.VerifyFinding[]
function policy.verify.count(facts) end

---Wants every entry in the table and every row in the journal.
---@param facts migrator.VerifyFacts
---@return migrator.VerifyFinding[]
function policy.verify.set(facts) end

---Wants the hashes too, and no INVALID index; warns of order and of constraints that are NOT VALID.
---```lua
---steps.verify { policy = function(facts)
---  return #facts.rows > 0 and policy.verify.strict(facts) or {}
---end }
---```
---@param facts migrator.VerifyFacts
---@return migrator.VerifyFinding[]
function policy.verify.strict(facts) end

return policy, { ["policy.lock"] = policy.lock, ["policy.retry"] = policy.retry,
  ["policy.victims"] = policy.victims, ["policy.verify"] = policy.verify }
