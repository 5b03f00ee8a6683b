-- `migrator dev spec/fuzz/fuzz_journal.lua [SECONDS] [SEED]`: broken journals and SQL files. Whatever they hold, the
-- reader answers, or raises one of our errors about the journal or the SQL in it, naming a file.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local journal = require "migrator.journal"
local mutate = require "spec.fuzz.mutate"

local EXPECTED = { journal = true, parse = true }
local journals, scripts = mutate.corpus "spec/fuzz/corpus/journal", mutate.corpus "spec/fuzz/corpus/split"
local folder = fs.temp "migrator-fuzz"
fs.mkdir(folder .. "/meta")

local function write_case(random)
  local text = random:pick(journals)
  local tags = {}
  for tag in text:gmatch('"tag"%s*:%s*"([%w_.-]+)"') do tags[#tags + 1] = tag end
  if random:upto(3) > 1 then text = mutate.mutate(random, text) end
  fs.write(folder .. "/meta/_journal.json", text)
  for _, tag in ipairs(tags) do
    local sql = random:pick(scripts)
    if random:upto(2) > 1 then sql = mutate.mutate(random, sql) end
    fs.write(folder .. "/" .. tag .. ".sql", sql)
  end
  return text
end

local function clean()
  for _, name in ipairs(fs.list(folder)) do
    if name ~= "meta" then fs.remove(folder .. "/" .. name) end
  end
end

local function check(what, text, fn)
  local ok, value = pcall(fn)
  if ok then return value end
  if errors.is(value) and EXPECTED[value.code] and value.file then return nil end
  fs.write(folder .. "/meta/_journal.json", text)
  error(("%s raised %s %s\nthe case is in %s"):format(what, errors.is(value) and value.code or type(value),
    tostring(value),
    folder), 0)
end

local function once(random)
  local text = write_case(random)
  local found = check("journal.load", text, function() return journal.load(folder) end)
  for _, entry in ipairs(found and found.entries or {}) do
    check("entry:text", text, function() return entry:text() end)
    for _, statement in ipairs(check("entry:statements", text, function() return entry:statements() end) or {}) do
      assert(#statement.text > 0 and statement.line >= 1 and statement.offset >= 1, "an impossible statement")
    end
  end
  clean()
end

local code = mutate.run("fuzz_journal", once)
if code == 0 then fs.remove(folder) end
return code
