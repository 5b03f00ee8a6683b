---The journal and its files, read a second time and by other means than the runner's: PostgreSQL parses the JSON and
---computes the digests, and the replacement of invalid UTF-8 is this file's own.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"

local M = {}

local REPLACEMENT = "\u{FFFD}"
-- One query carries so many files or bytes at most: few round trips, bounded memory.
local BATCH_FILES, BATCH_BYTES = 500, 4 << 20

-- One row even when there are no entries, so that "empty" and "not a list" can be told apart.
local ENTRIES = [[
select pg_catalog.jsonb_typeof(s.j -> 'entries') as kind, t.at::int4 as position, t.e ->> 'tag' as tag,
  pg_catalog.jsonb_typeof(t.e -> 'tag') as tag_kind, (t.e ->> 'when')::numeric::int8 as when,
  coalesce((t.e ->> 'when')::numeric = pg_catalog.trunc((t.e ->> 'when')::numeric), false) as whole
from (select $1::jsonb as j) s
left join lateral pg_catalog.jsonb_array_elements(case when pg_catalog.jsonb_typeof(s.j -> 'entries') = 'array'
  then s.j -> 'entries' end) with ordinality t(e, at) on true
order by t.at]]

local function refuse(path, message, fields)
  fields = fields or {}
  fields.message, fields.file = message, path
  errors.raise("journal", fields)
end

-- What a first byte promises: how many bytes follow, and between which bounds the second must be (Unicode, table
-- 3-7).
local function expectation(byte)
  if byte >= 0xC2 and byte <= 0xDF then return 1, 0x80, 0xBF end
  if byte == 0xE0 then return 2, 0xA0, 0xBF end
  if byte == 0xED then return 2, 0x80, 0x9F end
  if byte >= 0xE1 and byte <= 0xEF then return 2, 0x80, 0xBF end
  if byte == 0xF0 then return 3, 0x90, 0xBF end
  if byte >= 0xF1 and byte <= 0xF3 then return 3, 0x80, 0xBF end
  if byte == 0xF4 then return 3, 0x80, 0x8F end
  return nil
end

---The length of the sequence at `at`, and whether it is a whole one; a broken one counts up to the byte that breaks
---it.
local function sequence(bytes, at)
  local follow, low, high = expectation(bytes:byte(at))
  if not follow then return 1, false end
  for i = 1, follow do
    local byte = bytes:byte(at + i)
    if not byte or byte < low or byte > high then return i, false end
    low, high = 0x80, 0xBF
  end
  return follow + 1, true
end

---Decodes as Node.js does: every maximal part of an invalid sequence becomes one U+FFFD.
---@param bytes string
---@return string
function M.decode(bytes)
  local at, out = 1, {}
  while true do
    local whole, bad = utf8.len(bytes, at)
    if whole then break end
    local length, valid = sequence(bytes, bad)
    out[#out + 1] = bytes:sub(at, bad - 1) .. (valid and bytes:sub(bad, bad + length - 1) or REPLACEMENT)
    at = bad + length
  end
  out[#out + 1] = bytes:sub(at)
  return table.concat(out)
end

-- bytea in its escape form: plain ASCII whatever the server's encoding, and hardly longer than the file.
local OCTAL = {}
for byte = 0, 255 do OCTAL[string.char(byte)] = ("\\%03o"):format(byte) end
local function escape(bytes) return (bytes:gsub("[\\%z\128-\255]", OCTAL)) end

local function hash_batch(conn, texts)
  local values, params = {}, {}
  for i, text in ipairs(texts) do
    values[i] = ("(%d, $%d::bytea)"):format(i, i)
    params[i] = escape(text)
  end
  local rows = conn:exec("select pg_catalog.encode(pg_catalog.sha256(v.bytes), 'hex') as hash from (values "
    .. table.concat(values, ", ") .. ") v(at, bytes) order by v.at", table.unpack(params))
  local out = {}
  for i, row in ipairs(rows) do out[i] = row.hash end
  return out
end

---@param conn migrator.Conn
---@param count integer
---@param read fun(i: integer): string
---@return string[] hex, as many as count
local function hash_all(conn, count, read)
  local hashes, texts, bytes = {}, {}, 0
  for i = 1, count do
    texts[#texts + 1] = read(i)
    bytes = bytes + #texts[#texts]
    if i == count or #texts == BATCH_FILES or bytes >= BATCH_BYTES then
      table.move(hash_batch(conn, texts), 1, #texts, #hashes + 1, hashes)
      texts, bytes = {}, 0
    end
  end
  return hashes
end

local function check_entry(path, row)
  if row.tag_kind ~= "string" or row.tag == "" then refuse(path, ("entry %d has no tag"):format(row.position)) end
  local name = ("entry %d (%s)"):format(row.position, row.tag)
  if row.tag:find("/", 1, true) then refuse(path, name .. ": a tag cannot hold a slash") end
  if not row.whole then refuse(path, name .. ": `when` is not a whole number") end
end

local function parse(conn, path)
  if not fs.find(path) then
    refuse(path, "no journal: " .. path .. " does not exist",
      { hint = "--dir names the folder that holds meta/_journal.json" })
  end
  local text = fs.read(path)
  if text:find("\0", 1, true) then refuse(path, "the journal has a NUL byte") end
  local ok, rows = pcall(conn.exec, conn, ENTRIES, text)
  if not ok then
    if errors.is(rows, "sql") and rows.sqlstate and rows.sqlstate:find("^22") then
      refuse(path, "the journal is not what it should be: " .. rows.message,
        { detail = rows.detail, context = rows.context })
    end
    error(rows, 0)
  end
  if rows[1].kind ~= "array" then refuse(path, 'the journal has no "entries"') end
  return math.type(rows[1].position) == "integer" and rows or {}
end

---@class migrator.VerifyEntry
---@field position integer
---@field tag string
---@field when integer
---@field hash string of the file as it is
---@field path string

---@param conn migrator.Conn in a read-only transaction
---@param dir string
---@return migrator.VerifyEntry[] entries, string path
function M.read(conn, dir)
  local path, entries = dir .. "/meta/_journal.json", {}
  for i, row in ipairs(parse(conn, path)) do
    check_entry(path, row)
    entries[i] = { position = row.position, tag = row.tag, when = row.when, path = dir .. "/" .. row.tag .. ".sql" }
    if not fs.find(entries[i].path) then
      refuse(path, ("entry %d (%s): there is no file %s"):format(i, row.tag, entries[i].path))
    end
  end
  local hashes = hash_all(conn, #entries, function(i) return M.decode(fs.read(entries[i].path)) end)
  for i, hash in ipairs(hashes) do entries[i].hash = hash end
  return entries, path
end

---Adds `other_endings` to entries: the digests that their files would have with LF and with CRLF.
---@param conn migrator.Conn
---@param entries migrator.VerifyEntry[]
function M.add_line_endings(conn, entries)
  local hashes = hash_all(conn, #entries * 2, function(i)
    local text = M.decode(fs.read(entries[(i + 1) // 2].path)):gsub("\r\n", "\n")
    return i % 2 == 1 and text or (text:gsub("\n", "\r\n"))
  end)
  for i, entry in ipairs(entries) do
    entry.other_endings = { [hashes[2 * i - 1]] = true, [hashes[2 * i]] = true }
  end
end

return M
