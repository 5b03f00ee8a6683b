---migrator new NAME: a hand-written migration, as file and journal entry.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local compose = require "migrator.journal.compose"
local edit = require "migrator.journal.edit"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local journal_module = require "migrator.journal"

local M = {}

-- Drizzle cuts at its marker even inside a comment, so the marker itself must not be spelled out here.
local TEMPLATE = "-- %s: what it is for, and why it is safe while the application runs\n\n"

local function names_in(dir)
  local out = {}
  for _, name in ipairs(fs.list(dir)) do
    if name:find("%.sql$") then out[#out + 1] = (name:gsub("%.sql$", "")) end
  end
  return out
end

local function check_free(journal, made, path)
  for _, entry in ipairs(journal.entries) do
    if entry.tag:lower() == made.tag:lower() then
      errors.raise("usage", { message = ("the tag %s is taken"):format(made.tag), file = journal.path,
        line = entry.line })
    end
  end
  if fs.find(path) then
    errors.raise("usage", { message = "the file exists already", file = path, hint = "choose another name" })
  end
end

---The entry's fields in drizzle-kit's order; `version` as in the entries before.
local function fields_of(made, raw)
  local last = raw.entries[#raw.entries]
  local version = last and last.version or raw.version
  return { { "idx", made.idx }, { "version", tostring(version) }, { "when", made.when }, { "tag", made.tag },
    { "breakpoints", true } }
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { name: string }
function M.run(config, sink, args)
  local journal = journal_module.load(config.dir, { orphans = "allow" })
  local now = clock.wall()
  local made = compose.next(journal.entries, names_in(config.dir), args.name, now)
  local path = config.dir .. "/" .. made.tag .. ".sql"
  check_free(journal, made, path)
  local text = fs.read(journal.path)
  local changed = edit.append(edit.parse(text, journal.path), edit.format(edit.parse(text, journal.path),
    fields_of(made, cjson.decode(text)))).text
  fs.write(path, TEMPLATE:format(made.tag))
  local ok, err = pcall(fs.write, journal.path, changed)
  if not ok then
    fs.remove(path)
    error(err, 0)
  end
  sink:line("Created " .. path)
  sink:line(("Added entry %d (when %d) to %s"):format(made.idx, made.when, journal.path))
  if made.when > now + 1000 then
    sink:diagnostic("warning", ("its `when` is in the future, because the newest entry's is: %s"):format(
      os.date("!%Y-%m-%d %H:%M:%S UTC", made.when // 1000)))
  end
  sink:document { tag = made.tag, idx = made.idx, when = made.when, file = path, journal = journal.path }
  return 0
end

return M
