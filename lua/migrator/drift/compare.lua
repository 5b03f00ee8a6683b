---Two catalogues against each other. Pure.
local M = {}

---@class migrator.Difference
---@field what "missing"|"extra"|"differs" in the database, against what is expected
---@field kind string
---@field name string
---@field expected? string definition
---@field actual? string definition

local HOLDS = { table = true, view = true, ["materialized view"] = true }

local function index(objects)
  local out = {}
  for _, object in ipairs(objects) do out[object.kind .. " " .. object.name] = object end
  return out
end

---`*` is any text, `?` one character; a pattern that fits a table fits all that goes with it, and `part.*` the schema too.
---@param patterns string[]
---@return fun(object: migrator.CatalogObject): boolean
function M.ignoring(patterns)
  local list = {}
  for i, pattern in ipairs(patterns) do
    list[i] = "^" .. pattern:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
  end
  return function(object)
    for _, pattern in ipairs(list) do
      if object.name:find(pattern) or (object.parent and object.parent:find(pattern))
        or (object.kind == "schema" and (object.name .. "."):find(pattern)) then return true end
    end
    return false
  end
end

-- What goes with a table that is not there at all is not worth a line of its own.
local function holders(there, other)
  local out = {}
  for key, object in pairs(there) do
    if HOLDS[object.kind] and not other[key] then out[object.name] = true end
  end
  return out
end

---@param expected migrator.CatalogObject[]
---@param actual migrator.CatalogObject[]
---@param opts? { ignore?: string[] }
---@return migrator.Difference[] by kind and name
function M.run(expected, actual, opts)
  local ignored = M.ignoring(opts and opts.ignore or {})
  local want, have, out = index(expected), index(actual), {}
  local missing, extra = holders(want, have), holders(have, want)
  local function add(what, object, wanted, found)
    if not ignored(object) then
      out[#out + 1] = { what = what, kind = object.kind, name = object.name, expected = wanted, actual = found }
    end
  end
  for _, object in ipairs(expected) do
    local found = have[object.kind .. " " .. object.name]
    if found and found.definition ~= object.definition then
      add("differs", object, object.definition, found.definition)
    elseif not found and not (object.parent and missing[object.parent]) then
      add("missing", object, object.definition)
    end
  end
  for _, object in ipairs(actual) do
    if not want[object.kind .. " " .. object.name] and not (object.parent and extra[object.parent]) then
      add("extra", object, nil, object.definition)
    end
  end
  table.sort(out, function(a, b)
    if a.kind ~= b.kind then return a.kind < b.kind end
    if a.name ~= b.name then return a.name < b.name end
    return a.what > b.what
  end)
  return out
end

return M
