-- Real public Drizzle folders, compared with what drizzle-orm itself made of them.
local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local FOLDERS = { "ai-chatbot", "zero-mail", "kaneo", "cosmo-controlplane", "sim-studio" }

local function rows(url)
  local conn <close> = db.connect(url)
  local out = { "id\thash\tcreated_at\n" }
  for i, row in ipairs(conn:exec "select id, hash, created_at from drizzle.__drizzle_migrations order by id") do
    out[i + 1] = ("%d\t%s\t%d\n"):format(row.id, row.hash, row.created_at)
  end
  return table.concat(out)
end

local function prepare(corpus, url)
  local conn <close> = db.connect(url)
  if corpus.name == "sim-studio"
    and not conn:value "select exists (select 1 from pg_available_extensions where name = 'vector')" then
    return "needs the extension vector"
  end
  if fs.find(corpus.path .. "/setup.sql") then conn:script(fs.read(corpus.path .. "/setup.sql")) end
end

local function compare(url, expected)
  assert.equal(fs.read(expected .. "/schema.sql"), pg.dump(url))
  assert.equal(fs.read(expected .. "/tracking.tsv"), rows(url))
end

---The folder with its journal cut after n entries: the files are links to the real ones.
local function cut(corpus, journal, n, dir)
  dir = dir or tmp.dir {}
  for i, entry in ipairs(journal.entries) do
    local file = dir .. "/" .. entry.tag .. ".sql"
    if i <= n and not fs.find(file) then
      fs.write(file, fs.read(corpus.path .. "/migrations/" .. entry.tag .. ".sql"))
    end
  end
  local entries = {}
  for i = 1, n do
    local entry = journal.entries[i]
    entries[i] = { entry.tag, when = ("%d"):format(entry.when), idx = ("%d"):format(entry.idx) }
  end
  return project.write(entries, dir)
end

for _, name in ipairs(FOLDERS) do
  describe("corpus " .. name, function()
    local shared = project.shared()
    local corpus = { name = name, path = (shared or "") .. "/corpus/" .. name }

    it("has the same end state in one run", function()
      if not shared then return pending("needs the shared corpus") end
      local url = pg.database()
      local missing = prepare(corpus, url)
      if missing then return pending(missing) end
      local ran = cli.run { "migrate", "--dir", corpus.path .. "/migrations", "--url", url }
      assert.same({ 0, "" }, { ran.code, ran.code == 0 and "" or ran.stderr })
      compare(url, corpus.path .. "/expected")
    end)

    it("has the same end state step by step, or names what Drizzle skips", function()
      if not shared then return pending("needs the shared corpus") end
      local url = pg.database()
      local missing = prepare(corpus, url)
      if missing then return pending(missing) end
      local journal = cjson.decode(fs.read(corpus.path .. "/migrations/meta/_journal.json"))
      local step = math.max(1, #journal.entries // 30)
      local dir, skipped = nil, {}
      for n = 1, #journal.entries do
        local late = n > 1 and journal.entries[n].when <= journal.entries[n - 1].when
        if late or n % step == 0 or n == #journal.entries then
          dir = cut(corpus, journal, n, dir)
          local ran = cli.run { "migrate", "--dir", dir, "--url", url }
          if ran.code == 1 and ran.stderr:find("was never applied", 1, true) then
            skipped[#skipped + 1] = ran.stderr:match("([%w_]+) was never applied")
            ran = cli.run { "migrate", "--dir", dir, "--url", url, "--order", "non-linear" }
          end
          assert.same({ 0, "" }, { ran.code, ran.code == 0 and "" or ran.stderr })
        end
      end
      local expected = fs.find(corpus.path .. "/expected/stepwise/result.json")
        and cjson.decode(fs.read(corpus.path .. "/expected/stepwise/result.json")) or {}
      if #(expected.skipped or {}) > 0 or #skipped > 0 then
        assert.is_true(#skipped > 0, "Drizzle skips entries that we did not name")
        assert.equal(fs.read(corpus.path .. "/expected/schema.sql"), pg.dump(url))
      else
        assert.equal(fs.read(corpus.path .. "/expected/schema.sql"), pg.dump(url))
        assert.equal(fs.read(corpus.path .. "/expected/tracking.tsv"), rows(url))
      end
    end)
  end)
end
