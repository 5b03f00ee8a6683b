---Does a transaction fit into the server's lock table? Each object that it makes, alters or drops is one entry until it
---ends, shared by every session; when the table is full, the statement at hand fails (53200).
local costs = require "migrator.plan.costs"

local M = {}

-- The table has max_locks_per_transaction entries for each backend and prepared transaction, and a second table of twice
-- that for who holds them, of which one session needs half: the rest, and a tenth that is kept over, serve as entries too,
-- together (1 + 2) * 1.1 / 2 and more. From 19 on both tables are fixed.
local ELASTIC, FIXED_FROM = 1.45, 190000
local SHARE = 0.7 -- for us; the rest is for the other sessions
local OWN = 24 -- the run's: tracking table, sequence, index, catalogue

---@class migrator.LockTable
---@field per_transaction integer max_locks_per_transaction
---@field slots integer backends and prepared transactions
---@field capacity integer locks that fit when nobody else has any
---@field budget integer locks that a run may take

---@param state { max_locks: integer, lock_slots: integer }|nil what server.look found
---@param server_version integer
---@return migrator.LockTable|nil
function M.table_of(state, server_version)
  local per, slots = state and state.max_locks, state and state.lock_slots
  if not per or not slots then return nil end
  local capacity = per * slots
  if server_version < FIXED_FROM then capacity = math.floor(capacity * ELASTIC) end
  return { per_transaction = per, slots = slots, capacity = capacity, budget = math.floor(capacity * SHARE) }
end

---The setting with which that many locks are within the budget, in steps of 64.
---@param lock_table migrator.LockTable
---@param locks integer
---@return integer
function M.setting_for(lock_table, locks)
  local each = lock_table.budget / lock_table.per_transaction
  return math.max(1, math.ceil(locks / each / 64)) * 64
end

local Counter = {}
Counter.__index = Counter

---A counter for one transaction: an object costs once.
---@return migrator.LockCounter
function M.counter() return setmetatable({ seen = {}, own = {}, total = OWN }, Counter) end

function Counter:once(key, weight)
  if self.seen[key] then return end
  self.seen[key] = true
  self.total = self.total + (weight or 1)
end

function Counter:add(weight) self.total = self.total + weight end

function Counter:made(relation) self.own[relation] = true end

function Counter:rows(relation) self:once("rows " .. relation, self.own[relation] and 1 or 9) end

---@param statement migrator.Statement
function Counter:see(statement) costs.read(statement, self) end

return M
