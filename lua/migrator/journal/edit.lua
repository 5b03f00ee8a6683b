---Changes to meta/_journal.json that leave every other byte as it is: entries are found in the text, not printed
---anew.
local cjson = require "cjson"
local errors = require "migrator.error"

local M = {}

---@class migrator.JournalText
---@field text string
---@field open integer byte of the `[` of the entries
---@field close integer byte of its `]`
---@field spans { first: integer, last: integer }[] of the entries, in order

local function fail(path)
  errors.raise("journal", { message = "the entries cannot be found in the journal's text", file = path })
end

---The byte behind the string that begins at `at`.
local function skip_string(text, at)
  local i = at + 1
  while true do
    local found = text:find('["\\]', i)
    if not found then return #text + 1 end
    if text:sub(found, found) == '"' then return found + 1 end
    i = found + 2
  end
end

---Calls visit(char, at, depth) for each bracket outside of strings, depth being that inside of it; stops at the first
---answer.
local function walk(text, from, visit)
  local depth, at = 0, from
  while true do
    local found = text:find('["%[%]{}]', at)
    if not found then return nil end
    local char = text:sub(found, found)
    if char == '"' then
      at = skip_string(text, found)
    else
      if char == "[" or char == "{" then depth = depth + 1 end
      local answer = visit(char, found, depth)
      if answer then return answer end
      if char == "]" or char == "}" then depth = depth - 1 end
      at = found + 1
    end
  end
end

---The `[` of the top-level key "entries"; the last one counts when there are several, as for every reader of JSON.
local function find_open(text)
  local open
  walk(text, 1, function(char, at, depth)
    if char == "[" and depth == 2 and text:sub(1, at - 1):find('"entries"%s*:%s*$') then open = at end
  end)
  return open
end

---@param text string
---@param path string for the error
---@return migrator.JournalText
function M.parse(text, path)
  local open = find_open(text)
  if not open then fail(path) end
  local self = { text = text, open = open, spans = {}, path = path }
  walk(text, open, function(char, at, depth)
    if char == "{" and depth == 2 then self.spans[#self.spans + 1] = { first = at } end
    if char == "}" and depth == 2 then self.spans[#self.spans].last = at end
    if char == "]" and depth == 1 then
      self.close = at
      return true
    end
  end)
  if not self.close then fail(path) end
  return self
end

---@param doc migrator.JournalText
---@return string
function M.entry(doc, position)
  local span = doc.spans[position]
  return doc.text:sub(span.first, span.last)
end

---The blanks that this file puts before an entry, before its keys and before its end, and behind a colon.
local function style(doc)
  local count = #doc.spans
  if count > 0 then
    local last, before = M.entry(doc, count), doc.spans[count - 1]
    local lead = doc.text:sub(before and before.last + 1 or doc.open + 1, doc.spans[count].first - 1):match("%s*$")
    return { lead = lead, key = last:match("^{(%s*)"), close = last:match("(%s*)}$"), colon = last:match('":(%s*)'),
      tail = doc.text:sub(doc.spans[count].last + 1, doc.close - 1) }
  end
  if not doc.text:find("\n", 1, true) then return { lead = "", key = "", close = "", colon = "", tail = "" } end
  local newline = doc.text:find("\r\n", 1, true) and "\r\n" or "\n"
  return { lead = newline .. "    ", key = newline .. "      ", close = newline .. "    ", colon = " ",
    tail = newline .. "  " }
end

---@param doc migrator.JournalText
---@param fields { [1]: string, [2]: any }[] names and values, in the order to write
---@return string
function M.format(doc, fields)
  local own, out = style(doc), {}
  for i, field in ipairs(fields) do
    local value = math.type(field[2]) == "integer" and ("%d"):format(field[2]) or cjson.encode(field[2])
    out[i] = own.key .. cjson.encode(field[1]) .. ":" .. own.colon .. value
  end
  return "{" .. table.concat(out, ",") .. own.close .. "}"
end

---@param doc migrator.JournalText
---@param entry string JSON of an entry
---@return migrator.JournalText
function M.append(doc, entry)
  local own, count, text = style(doc), #doc.spans, doc.text
  local head = count > 0 and text:sub(1, doc.spans[count].last) .. "," or text:sub(1, doc.open)
  return M.parse(head .. own.lead .. entry .. own.tail .. text:sub(doc.close), doc.path)
end

---@param doc migrator.JournalText
---@param position integer
---@return migrator.JournalText
function M.remove(doc, position)
  local text, span, after, before = doc.text, doc.spans[position], doc.spans[position + 1], doc.spans[position - 1]
  local first, last = span.first, span.last
  if after then last = after.first - 1 elseif before then first = before.last + 1 end
  return M.parse(text:sub(1, first - 1) .. text:sub(last + 1), doc.path)
end

---Sets a whole number in an entry.
---@return migrator.JournalText
function M.set(doc, position, key, value)
  local span, entry = doc.spans[position], M.entry(doc, position)
  local from, to = entry:match('"' .. key .. '"%s*:%s*()"?%-?[%d.eE+-]+"?()')
  if not from then
    errors.raise("journal", { message = ("entry %d has no %s to change"):format(position, key), file = doc.path })
  end
  local changed = entry:sub(1, from - 1) .. ("%d"):format(value) .. entry:sub(to)
  return M.parse(doc.text:sub(1, span.first - 1) .. changed .. doc.text:sub(span.last + 1), doc.path)
end

return M
