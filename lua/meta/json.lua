---@meta migrator.json

---JSON.
---@class migrator.json
---@field null lightuserdata null; the same value as `db.null`
local json = {}

---Returns a value as JSON: keys sorted, integers whole.
---Raises an error for a value that JSON cannot hold.
---@param value any
---@return string
function json.encode(value) end

---Returns the value of a JSON text. Whole numbers are integers; beyond 2^53 they may lose digits: keep those as texts.
---Raises an error naming the character.
---```lua
---local plan = json.decode(fs.read "plan.json")
---print(plan.name)
---```
---@param text string
---@return any
function json.decode(text) end

---Marks a list, so that an empty one is `[]` and not `{}`.
---@generic T
---@param list? T[]
---@return T[]
function json.array(list) end

return json
