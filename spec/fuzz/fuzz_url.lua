-- `migrator dev spec/fuzz/fuzz_url.lua [SECONDS] [SEED]`: broken connection URLs. They are read, or refused with `config`;
-- no message holds the password, and what was rewritten reads back as itself.
local core = require "migrator.core.db"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local mutate = require "spec.fuzz.mutate"
local url = require "migrator.lib.url"

local SECRET = "s3cr3tpass"
local samples = {}
for _, text in ipairs(mutate.corpus "spec/fuzz/corpus/url") do
  for line in text:gmatch("[^\n]+") do samples[#samples + 1] = line end
end
for line in fs.read("spec/fixtures/libpq_uris.txt"):gmatch("[^\n]+") do samples[#samples + 1] = (line:match("^%S+")) end

local function ask(what, source, fn, ...)
  local result = table.pack(pcall(fn, ...))
  if result[1] then return table.unpack(result, 2, result.n) end
  local err = result[2]
  if not errors.is(err, "config") then error(("%s(%q) raised %s"):format(what, source, tostring(err)), 0) end
  local said = err.message .. (err.hint or "") .. (err.detail or "")
  if said:find(SECRET, 1, true) then error(("%s(%q) tells the password: %s"):format(what, source, said), 0) end
end

local function same(a, b)
  for key, value in pairs(a) do
    if b[key] ~= value then return false, key end
  end
  for key in pairs(b) do
    if a[key] == nil then return false, key end
  end
  return true
end

-- Port 05433 is 5433, and so it is to libpq.
local function meaning(key, text) return key == "port" and text and text:gsub("%f[%d]0+(%d)", "%1") or text end

-- What we make of a URL must mean the same to libpq.
local function check_libpq(source, words)
  if source:find("[\r\n%z]") or source:find("[?&]ssl=") or next(words) == nil then return end
  local theirs = core.parse_conninfo(source)
  if not theirs then return end
  for key, value in pairs(words) do
    if meaning(key, theirs[key]) ~= meaning(key, value) and not (value == "" and theirs[key] == nil) then
      error(("%q: %s is %q to us, %q to libpq"):format(source, key, value, tostring(theirs[key])), 0)
    end
  end
end

local function check_format(source, parsed)
  if not parsed.hosts then return end
  local again = ask("parse(format)", source, url.parse, url.format(parsed))
  if not again then error(("%q: what url.format made is refused"):format(source), 0) end
  local first, second = ask("conninfo", source, url.conninfo, parsed), ask("conninfo", source, url.conninfo, again)
  if not first or not second then return end
  local ok, key = same(first, second)
  if not ok then error(("%q: %s does not survive url.format"):format(source, key), 0) end
end

local function once(random)
  local source = random:pick(samples)
  if random:upto(5) > 1 then source = mutate.mutate(random, source) end
  local parsed = ask("parse", source, url.parse, source)
  local words = ask("conninfo", source, url.conninfo, source)
  if words then check_libpq(source, words) end
  if parsed then check_format(source, parsed) end
  ask("describe", source, url.describe, source)
  ask("redact", source, url.redact, source)
  local turned = ask("rewrite", source, url.rewrite, source, { host = "127.0.0.1", port = random:upto(65535) })
  if turned then
    local now = ask("conninfo(rewrite)", source, url.conninfo, turned)
    if not now or now.host ~= "127.0.0.1" or now.sslmode ~= "disable" then
      error(("%q was rewritten to %q"):format(source, turned), 0)
    end
    for _, key in ipairs { "user", "password", "dbname" } do
      if (now[key] or "") ~= (words[key] or "") then error(("%q: rewriting changed %s"):format(source, key), 0) end
    end
  end
end

return mutate.run("fuzz_url", once)
