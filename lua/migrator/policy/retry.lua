---When to try again, and after how long.
local M = {}

---Exponential back-off with full jitter.
---@param opts? { tries?: integer, base?: number, cap?: number, random?: fun(): number }
---@return fun(attempt: integer): number|nil seconds to wait after this attempt, nil to give up
function M.backoff(opts)
  opts = opts or {}
  local tries, base, cap = opts.tries or 3, opts.base or 0.5, opts.cap or 10
  local random = opts.random or math.random
  return function(attempt)
    if attempt >= tries then return nil end
    return math.min(cap, base * 2 ^ (attempt - 1)) * (0.5 + random() / 2)
  end
end

local PASSES = { ["55P03"] = true, ["40P01"] = true }

---Tries again on lock_timeout (55P03), deadlock (40P01) and after giving way to others: in all the transaction was rolled
---back whole.
---@return fun(err: migrator.Error, attempt: integer): number|nil
function M.lock(opts)
  local backoff = M.backoff(opts)
  return function(err, attempt)
    if type(err) ~= "table" or not (err.gave_way or PASSES[err.sqlstate]) then return nil end
    return backoff(attempt)
  end
end

---Never again.
function M.none() return nil end

return M
