---Alembic's folder of revisions, read without Python: which revisions there are, and which are heads.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"

local M = {}

---@class migrator.Revision
---@field id string
---@field down string[] the revisions before it
---@field path string

-- Where that ends which begins here, and whether it is none of the code: a comment or a docstring. A text on one line
-- stays.
local function extent(source, from)
  local quote = source:sub(from, from)
  if quote == "#" then return (source:find("\n", from, true) or #source + 1) - 1, true end
  local triple = quote:rep(3)
  if source:sub(from, from + 2) == triple then
    local _, last = source:find(triple, from + 3, true)
    return last or #source, true
  end
  local last = from + 1
  while last <= #source and not source:find("^[\n" .. quote .. "]", last) do
    last = last + (source:find("^\\", last) and 2 or 1)
  end
  return last, false
end

-- A docstring may hold lines that look like assignments, and a comment quotes. Newlines stay, for the line numbers.
local function without_texts(source)
  local out, at = {}, 1
  while true do
    local from = source:find("[#'\"]", at)
    if not from then break end
    local last, goes = extent(source, from)
    local text = source:sub(from, last)
    out[#out + 1] = source:sub(at, from - 1) .. (goes and text:gsub("[^\n]", " ") or text)
    at = last + 1
  end
  return table.concat(out) .. source:sub(at)
end

local function fail(path, source, at, message)
  local _, newlines = source:sub(1, at):gsub("\n", "")
  errors.raise("journal", { message = message, file = path, line = newlines })
end

-- None, a text, or a tuple or list of texts; nil for anything else.
local function literal(source, at)
  if source:find("^None%f[^%w_]", at) then return {} end
  local text = source:match("^'([^'\n]*)'", at) or source:match('^"([^"\n]*)"', at)
  if text then return { text } end
  local body = source:match("^%b()", at) or source:match("^%b[]", at)
  if not body then return nil end
  local out = {}
  local rest = body:sub(2, -2):gsub("#[^\n]*", ""):gsub("(['\"])([^'\"\n]*)%1", function(_, item)
    out[#out + 1] = item
    return ""
  end)
  return not rest:find("[^%s,]") and out or nil
end

-- The value of `name = …` or `name: type = …` at the left margin.
local function assigned(path, source, name)
  local at = source:match("\n" .. name .. "%s*=%s*()") or source:match("\n" .. name .. "%s*:[^\n=]*=%s*()")
  if not at then return nil end
  local value = literal(source, at)
  if value then return value end
  fail(path, source, at, ("%s is not a plain text: it cannot be read without Python"):format(name))
end

local function read(path)
  local source = "\n" .. without_texts(fs.read(path):gsub("\r\n", "\n"))
  local id = assigned(path, source, "revision")
  if not id or not id[1] then
    errors.raise("journal", { message = "no `revision = …`: not one of Alembic's", file = path,
      hint = "only revisions belong into the folder of versions" })
  end
  return { id = id[1], down = assigned(path, source, "down_revision") or {}, path = path }
end

local function collect(folder, out)
  local names = fs.list(folder)
  table.sort(names)
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    local info = fs.find(path)
    if info and info.type == "directory" and name ~= "__pycache__" and name:sub(1, 1) ~= "." then
      collect(path, out)
    elseif info and name:find("%.py$") and name ~= "__init__.py" and name:sub(1, 1) ~= "." then
      out[#out + 1] = read(path)
    end
  end
  return out
end

local function index(list)
  local by_id = {}
  for _, revision in ipairs(list) do
    local other = by_id[revision.id]
    if other then
      errors.raise("journal", { file = revision.path,
        message = ("the revision %s is there twice: also in %s"):format(revision.id, other.path) })
    end
    by_id[revision.id] = revision
  end
  return by_id
end

---The revisions of a folder, by id, and those that none stands behind, in the order of their files.
---@param folder string
---@return migrator.Revision[] heads, table<string, migrator.Revision> by_id
function M.load(folder)
  local info = fs.find(folder)
  if not info or info.type ~= "directory" then
    errors.raise("config", { message = ("no folder of Alembic's versions: %s"):format(folder),
      hint = "name it: versions = \"alembic/versions\"" })
  end
  local list, followed, heads = collect(folder, {}), {}, {}
  local by_id = index(list)
  for _, revision in ipairs(list) do
    for _, id in ipairs(revision.down) do
      if not by_id[id] then
        errors.raise("journal", { message = ("down_revision %s is the revision of no file"):format(id),
          file = revision.path })
      end
      followed[id] = true
    end
  end
  for _, revision in ipairs(list) do
    if not followed[revision.id] then heads[#heads + 1] = revision end
  end
  if #heads == 0 then
    errors.raise("journal", { message = ("%s has no head: %s"):format(folder, #list == 0 and "there are no revisions"
      or "the revisions form a circle") })
  end
  return heads, by_id
end

---The one head, or an error that names them all.
---@param folder string
---@return migrator.Revision head, table<string, migrator.Revision> by_id
function M.head(folder)
  local heads, by_id = M.load(folder)
  if #heads == 1 then return heads[1], by_id end
  local ids, lines = {}, {}
  for i, head in ipairs(heads) do ids[i], lines[i] = head.id, ("%s %s"):format(head.id, head.path) end
  errors.raise("journal", { message = ("Alembic has %d heads: %s"):format(#heads, table.concat(ids, ", ")),
    detail = table.concat(lines, "\n"), hint = "join them: alembic merge -m \"merge\" " .. table.concat(ids, " ") })
end

---Raises `verify` unless what the database records is the head.
---@param head migrator.Revision
---@param by_id table<string, migrator.Revision>
---@param recorded string[]|nil nil: there is no table
function M.check(head, by_id, recorded)
  if recorded and #recorded == 1 and recorded[1] == head.id then return end
  local found = not recorded and "no table of Alembic's" or #recorded == 0 and "no revision"
    or table.concat(recorded, ", ")
  local hint = "did `alembic upgrade head` reach this database?"
  for _, id in ipairs(recorded or {}) do
    if not by_id[id] then
      hint = ("no file has the revision %s: an unmerged branch was applied, or its file was deleted"):format(id)
    end
  end
  errors.raise("verify", { message = ("Alembic's head is %s, but the database has %s"):format(head.id, found),
    hint = hint })
end

return M
