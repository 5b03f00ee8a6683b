---What was done to which table.
local M = {}

M.FIELDS = { "truncated", "created", "updated", "unchanged", "copied", "written", "deleted" }

---@class migrator.SeedCounts
---@field tables table<string, table<string, integer>>
---@field order string[] tables as they were first touched
local Counts = {}
Counts.__index = Counts

---@param listen? fun(table: string, field: string, n: integer)
---@return migrator.SeedCounts
function M.new(listen) return setmetatable({ tables = {}, order = {}, listen = listen }, Counts) end

---@param name string
---@param field "truncated"|"created"|"updated"|"unchanged"|"copied"|"written"|"deleted"
---@param n integer
function Counts:add(name, field, n)
  local found = self.tables[name]
  if not found then
    found = {}
    self.tables[name] = found
    self.order[#self.order + 1] = name
  end
  found[field] = (found[field] or 0) + n
  if self.listen then self.listen(name, field, n) end
end

---The counts as words: `ai_model 3 created, 1 unchanged`.
---@return string
function Counts:describe()
  local out = {}
  for _, name in ipairs(self.order) do
    local parts = {}
    for _, field in ipairs(M.FIELDS) do
      local n = self.tables[name][field] or 0
      if n > 0 then parts[#parts + 1] = ("%d %s"):format(n, field) end
    end
    if #parts > 0 then out[#out + 1] = name .. " " .. table.concat(parts, ", ") end
  end
  return #out > 0 and table.concat(out, "; ") or "nothing to do"
end

return M
