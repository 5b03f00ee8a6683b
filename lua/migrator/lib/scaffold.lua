---The texts of a scaffold that depend on the project: what a Drizzle configuration says, and our own project file.
local M = {}

---A configuration of drizzle-kit, read without running it: literals only. What is computed there is named in `unread`.
---@param text string TypeScript, JavaScript or JSON
---@return { out?: string, schema?: string, table?: string, dialect?: string, unread: string[] }
function M.read_drizzle(text)
  text = text:gsub("/%*.-%*/", " "):gsub("^//[^\n]*", ""):gsub("([^:\"'`])//[^\n]*", "%1")
  local found = { unread = {} }
  local function literal(within, key, name)
    local rest = within:match("%f[%w_]" .. key .. "%f[^%w_][\"']?%s*:%s*(.+)")
    if not rest then return nil end
    local quote, value = rest:match("^([\"'`])([^\"'`\n$]*)%1")
    if not quote then found.unread[#found.unread + 1] = name or key end
    return value
  end
  local tracking = text:match("%f[%w_]migrations[\"']?%s*:%s*(%b{})")
  if tracking then
    found.schema = literal(tracking, "schema", "migrations.schema")
    found.table = literal(tracking, "table", "migrations.table")
  elseif text:find("%f[%w_]migrations[\"']?%s*:") then
    found.unread[1] = "migrations"
  end
  found.out, found.dialect = literal(text, "out"), literal(text, "dialect")
  if found.out then found.out = found.out:gsub("^%./", ""):gsub("(.)/+$", "%1") end
  return found
end

local function value_text(option, value)
  if option.kind == "duration" and type(value) == "number" and value > 0 then return ('"%gs"'):format(value) end
  if type(value) == "table" then return "{}" end
  if type(value) == "string" then return '"' .. value:gsub('[\\"]', "\\%0") .. '"' end
  return value == nil and "nil" or tostring(value)
end

local function comment(text, out)
  local line = "  --"
  for word in text:gmatch("%S+") do
    if #line + #word + 1 > 100 then
      out[#out + 1] = line
      line = "  --"
    end
    line = line .. " " .. word
  end
  out[#out + 1] = line
end

---The project file: every setting with what it does, as a comment; those in `set` for real.
---@param list migrator.Option[]
---@param set table<string, any>
---@return string
function M.config(list, set)
  local out = { "-- Settings of this project. An option on the command line beats MIGRATOR_<OPTION> in the environment",
    "-- and that this file, which beats the default, shown here. `env` is the environment; no passwords here.",
    "return {" }
  for _, option in ipairs(list) do
    if option.file ~= false then
      if #out > 3 then out[#out + 1] = "" end
      comment(option.help .. (option.choices and ": " .. table.concat(option.choices, ", ") or ""), out)
      if set[option.name] ~= nil then
        out[#out + 1] = ("  %s = %s,"):format(option.name, value_text(option, set[option.name]))
      else
        out[#out + 1] = ("  -- %s = %s,"):format(option.name,
          option.env and "env." .. option.env or value_text(option, option.default))
      end
    end
  end
  out[#out + 1] = "}\n"
  return table.concat(out, "\n")
end

return M
