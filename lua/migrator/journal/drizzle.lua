---Drizzle's layout (orm 0.x): meta/_journal.json and NNNN_tag.sql beside it.
local lazy = require "migrator.lib.lazy"
local cjson = require "cjson"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local sql = require "migrator.core.sql"
local statements = lazy.require "migrator.journal.statements"

local M = {}

local json = cjson.new()
json.decode_invalid_numbers(false) -- NaN, Infinity and hexadecimal are no JSON, and Drizzle refuses them

local VERSIONS = { ["5"] = true, ["6"] = true, ["7"] = true }
local DIALECTS = { postgresql = true, pg = true }
local MAX_WHEN = 9007199254740991 -- Drizzle computes with JavaScript numbers: exact up to 2^53 - 1
local BOM = "\u{FEFF}"

local function refuse(path, line, message, hint)
  errors.raise("journal", { message = message, file = path, line = line, hint = hint })
end

-- A value as the journal has it. 1e309 is a number that JSON can be read into, but not written from.
local function shown(value)
  local ok, text = pcall(cjson.encode, value)
  return ok and text or tostring(value)
end

---The line of the n-th `"tag"` in the journal's text; close enough to an entry to put a cursor on. Counted when asked
---for.
local function line_finder(text)
  local lines
  return function(position)
    if lines then return lines[position] end
    lines = {}
    local line, last = 1, 1
    for at in text:gmatch('()"tag"%s*:') do
      for _ in text:sub(last, at - 1):gmatch("\n") do line = line + 1 end
      last = at
      lines[#lines + 1] = line
    end
    return lines[position]
  end
end

local function missing_journal(dir, path)
  for _, name in ipairs(fs.list(dir)) do
    if name:match("^%d%d%d%d%d%d%d%d%d%d%d%d%d%d_") and fs.find(dir .. "/" .. name .. "/migration.sql") then
      refuse(dir, nil, "this folder has Drizzle v1's layout (a folder per migration), which is not supported yet",
        "keep drizzle-kit 0.x for this project, or stay with drizzle-orm's own migrate()")
    end
  end
  refuse(path, nil, "no journal: " .. path .. " does not exist",
    "--dir names the folder that holds meta/_journal.json; `drizzle-kit generate` or `migrator init` makes it")
end

local function decode(path, text)
  if text == "" then refuse(path, 1, "the journal is empty") end
  if text:sub(1, #BOM) == BOM then
    refuse(path, 1, "the journal starts with a byte order mark, which Drizzle cannot read",
      "save it as UTF-8 without BOM")
  end
  local conflict = ("\n" .. text):find("\n<<<<<<< ", 1, true)
  if conflict then
    refuse(path, (sql.position(text, conflict)), "the journal has git conflict markers",
      "keep the entries of both sides, ordered by `when`, with rising idx")
  end
  local ok, value = pcall(json.decode, text)
  if ok then return value end
  local at = math.tointeger(tonumber(tostring(value):match("character (%d+)"))) or 1
  local line, column = sql.position(text, math.min(at, #text))
  errors.raise("journal", { message = "the journal is not valid JSON: "
    .. tostring(value):gsub(" at character %d+$", ""),
    file = path, line = line, column = column })
end

local function check_head(path, journal)
  if type(journal) ~= "table" or type(journal.entries) ~= "table" then
    refuse(path, 1, 'the journal has no "entries"')
  end
  if not DIALECTS[journal.dialect or ""] then
    refuse(path, 1, ("dialect %s is not postgresql"):format(shown(journal.dialect or "")))
  end
  if not VERSIONS[tostring(journal.version)] then
    refuse(path, 1, ("journal version %s is not one of 5, 6, 7"):format(shown(journal.version or "")))
  end
end

local function read_when(value)
  if type(value) == "string" and value:match("^%d+$") then value = tonumber(value) end
  local whole = type(value) == "number" and math.tointeger(value)
  return whole and whole >= 0 and whole <= MAX_WHEN and whole or nil
end

local function refuse_entry(path, find_line, position, raw, message, ...)
  local name = raw.tag and ("entry %d (%s)"):format(position, raw.tag) or "entry " .. position
  refuse(path, find_line(position), name .. message:format(...))
end

local function check_entry(path, find_line, position, raw, seen, digest)
  local tag = type(raw) == "table" and raw.tag
  if type(tag) ~= "string" or tag == "" then
    refuse(path, find_line(position), ("entry %d has no tag"):format(position))
  end
  local when = read_when(raw.when)
  if not when then
    refuse_entry(path, find_line, position, raw, ": `when` must be a whole number of milliseconds, it is %s",
      raw.when == nil and "missing" or shown(raw.when))
  end
  if seen.tags[tag] then refuse_entry(path, find_line, position, raw, ": this tag stands in the journal twice") end
  local idx = raw.idx
  if idx ~= nil and seen.idx[idx] then
    refuse_entry(path, find_line, position, raw, ": idx %s is used by %s already", tostring(math.tointeger(idx) or idx),
      seen.idx[idx])
  end
  if not digest and (tag:find("/", 1, true) or tag:find("\0", 1, true)) then -- else its file was read
    refuse_entry(path, find_line, position, raw, ": a tag names a file in this folder, it cannot hold a slash")
  end
  seen.tags[tag] = true
  if idx ~= nil then seen.idx[idx] = tag end
  return when
end

local Entry = {}

-- What is the same for all entries of a journal, or seldom asked for, is not kept in each of them.
local function entry_type(dir, find_line)
  return { __index = function(self, key)
    if key == "path" then return dir .. "/" .. rawget(self, "tag") .. ".sql" end
    if key == "line" then return find_line(rawget(self, "position")) end
    return Entry[key]
  end }
end

local function read_text(path)
  local bytes = fs.read(path)
  local nul = bytes:find("\0", 1, true)
  if nul then
    local line, column = sql.position(bytes, nul)
    errors.raise("journal", { message = "a NUL byte, which PostgreSQL cannot take", file = path, line = line,
      column = column, hint = bytes:sub(1, 2) == "\xFF\xFE" and "the file is UTF-16: save it as UTF-8" or nil })
  end
  return sql.decode_utf8(bytes)
end

function Entry:text()
  local text = read_text(self.path)
  if hash.sha256(text) ~= self.hash then
    errors.raise("journal", { message = "the file was changed while migrator was running", file = self.path })
  end
  return text
end

function Entry:statements() return statements.read(self) end

local function read_file(path, file, find_line, position, tag)
  local ok, text, replaced = pcall(read_text, file)
  if ok then return text, replaced end
  if fs.find(file) then error(text, 0) end
  errors.raise("journal", { message = ("entry %d (%s): there is no file %s"):format(position, tag, file), file = path,
    line = find_line(position), migration = tag,
    hint = "restore the file from version control; a migration that was applied is still part of the journal" })
end

---The files of the entries before the first bad one, in one go.
local function read_hashes(folder, list)
  local tags = {}
  for position, raw in ipairs(list) do
    local tag = type(raw) == "table" and raw.tag
    if type(tag) ~= "string" then break end
    tags[position] = tag
  end
  return folder:texts(tags)
end

local function read_entries(journal, list, folder, find_line)
  local dir, path, seen, kind = journal.dir, journal.path, { tags = {}, idx = {} }, entry_type(journal.dir, find_line)
  local hashes, sizes, files = read_hashes(folder, list)
  local tointeger = math.tointeger
  for position, raw in ipairs(list) do
    local digest, size = hashes[position], sizes[position]
    local when = check_entry(path, find_line, position, raw, seen, digest)
    local tag = raw.tag
    if not digest then
      local text, replaced = read_file(path, dir .. "/" .. tag .. ".sql", find_line, position, tag)
      digest, size = hash.sha256(text), #text
      if replaced then journal.replaced[tag] = true end
    end
    journal.entries[position] = setmetatable({ idx = tointeger(raw.idx) or position - 1, position = position, tag = tag,
      when = when, hash = digest, size = size }, kind)
  end
  return seen, files
end

local function number_of(name) return math.tointeger(tonumber(name:match("^(%d+)"))) end

---A file that no entry names is either a leftover that a later migration took the place of, or one whose entry was
---forgotten: that it is numbered behind the last entry tells the second from the first.
local function check_orphans(journal, seen, files, policy)
  local last = #journal.entries > 0 and number_of(journal.entries[#journal.entries].tag) or -1
  if files == #journal.entries then return end -- each entry's file was read: there is no other
  for _, name in ipairs(fs.list(journal.dir)) do
    local tag = name:match("^(.*)%.sql$")
    if tag and not seen.tags[tag] and policy ~= "allow" then
      local number = number_of(tag)
      local path = journal.dir .. "/" .. name
      if policy == "refuse" or not number or number > last then
        errors.raise("journal", { message = "the file is not in the journal, so it would never run", file = path,
          hint = 'add its entry to meta/_journal.json, remove the file, or set orphans = "allow"' })
      end
      journal:note("orphan", "warning", path, nil, ("%s is not in the journal and will not run"):format(path))
    end
  end
end

local Journal = {}
Journal.__index = Journal

---@param tag? string of the entry it is about, if it is of no more interest once that was applied
function Journal:note(rule, severity, file, line, message, tag)
  table.insert(self.findings, { rule = rule, severity = severity, file = file, line = line, message = message,
    tag = tag })
end

local function check_order(journal, now)
  local before
  for _, entry in ipairs(journal.entries) do
    if before and entry.when <= before.when then
      journal:note("when-order", "warning", journal.path, entry.line,
        ("%s has a `when` (%d) that is not above %s's (%d): Drizzle skips it on a database that has the latter"):format(
          entry.tag, entry.when, before.tag, before.when), entry.tag)
    end
    if entry.when > now then
      journal:note("when-future", "warning", journal.path, entry.line, ("%s has a `when` in the future: %s"):format(
        entry.tag, os.date("!%Y-%m-%d %H:%M:%S UTC", entry.when // 1000)))
    end
    if journal.replaced[entry.tag] then
      journal:note("encoding", "warning", entry.path, nil,
        entry.path .. " is not valid UTF-8: as with Drizzle, U+FFFD stands for each invalid sequence")
    end
    if before and entry.idx ~= before.idx + 1 then
      journal:note("idx-order", "info", journal.path, entry.line,
        ("%s has idx %d behind %d; the order of the array counts"):format(entry.tag, entry.idx, before.idx))
    end
    before = entry
  end
end

---@param dir string
---@param opts { orphans?: string, now?: integer }
---@return migrator.Journal
function M.read(dir, opts)
  local path = dir .. "/meta/_journal.json"
  if not fs.find(path) then missing_journal(dir, path) end
  local text = fs.read(path)
  local folder <close> = hash.folder(dir)
  local raw = decode(path, text)
  check_head(path, raw)
  local journal = setmetatable({ dir = dir, path = path, entries = {}, findings = {}, format = "drizzle",
    replaced = {} }, Journal)
  local seen, files = read_entries(journal, raw.entries, folder, line_finder(text))
  check_orphans(journal, seen, files, opts.orphans or "forgotten")
  check_order(journal, opts.now or os.time() * 1000 + 60000)
  return journal
end

return M
