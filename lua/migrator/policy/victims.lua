---When to give way to the sessions that wait behind a statement of ours.
local M = {}

---Gives way when at least `sessions` of them wait and the first has waited for more than `seconds`.
---@param opts { seconds: number, sessions?: integer }
---@return fun(facts: { sessions: integer, longest: number, elapsed: number }): boolean
function M.limit(opts)
  local sessions, seconds = opts.sessions or 1, opts.seconds or 0
  return function(facts) return facts.sessions >= sessions and facts.longest > seconds end
end

---Never gives way.
function M.none() return false end

return M
