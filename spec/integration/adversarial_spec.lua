-- What we do where Drizzle is hard to follow. A case that is not named here must end as it ends with Drizzle.
local adversarial = require "spec.support.adversarial"
local fs = require "migrator.core.fs"
local project = require "spec.support.project"

---Per step: { exit code, part of the error }, "same" for Drizzle's end state, "right" for success where Drizzle fails
---or where only the ids of rows differ.
local OURS = {
  ["breakpoint-in-dollar-body"] = { { 2, "0000_a.sql:1:4: a dollar quote is not closed" } },
  ["breakpoint-in-literal"] = { { 2, "0000_a.sql:2:34: a quote is not closed" } },
  ["breakpoint-with-suffix"] = { { 1, '0000_a.sql:2:26: syntax error at or near "next"' } },
  ["commit-then-fail"] = { { 1, "0002_c.sql:1:1: division by zero" }, "right" },
  concurrently = { "right" },
  ["db-ahead"] = { "same", { 1, "Database has 3 migrations but local journal only has 2" } },
  ["deferred-fk"] = { { 1, 'violates foreign key constraint "q_p_fkey"' } },
  ["deleted-middle"] = { "same", { 1, "Database has 3 migrations but local journal only has 2" },
    { 1, "the database has migrations that the journal does not know" } },
  ["dup-tag-idempotent"] = { { 2, "entry 2 (0000_a): this tag stands in the journal twice" } },
  ["edited-after-apply"] = { "same", { 1, "0000_a was edited after it was applied" } },
  ["edited-when-bumped"] = { "same", "right" },
  ["enum-add-and-use-batch"] = { "same", "right" },
  ["extension-missing"] = { { 1, 'extension "no_such_extension" is not available' } },
  ["fail-mid-multi"] = { { 1, "0000_a.sql:2:1: division by zero" } },
  ["fail-second"] = { { 1, '0001_b.sql:3:1: relation "nope" does not exist' }, "right" },
  ["journal-bom"] = { { 2, "meta/_journal.json:1: the journal starts with a byte order mark" } },
  ["journal-merge-conflict"] = { { 2, "meta/_journal.json:5: the journal has git conflict markers" } },
  ["journal-missing"] = { { 2, "no journal" } },
  ["journal-no-entries"] = { { 2, 'the journal has no "entries"' } },
  ["journal-order-not-idx"] = { { 1, '0001_b.sql:1:1: relation "a" does not exist' } },
  ["journal-trailing-comma"] = { { 2, "meta/_journal.json:1:129: the journal is not valid JSON" } },
  ["journal-truncated"] = { { 2, "the journal is not valid JSON" } },
  ["missing-file"] = { { 2, "entry 2 (0001_b): there is no file" } },
  ["missing-old-file"] = { "same", { 2, "entry 1 (0000_a): there is no file" } },
  ["orphan-file"] = { { 2, "0001_b.sql: the file is not in the journal, so it would never run" } },
  ["rollback-inside"] = { { 2, "0001_b.sql:3:1: ROLLBACK would undo the migrations before it" } },
  ["sql-bom"] = { "right" },
  ["sql-nul"] = { { 2, "0000_a.sql:2:9: a NUL byte" } },
  ["tracking-middle-row-deleted"] = { "same", { 1, "0001_b was never applied" } },
  ["tracking-null-created-at"] = { "same", { 1, "the database has migrations that the journal does not know" } },
  ["tracking-truncated"] = { "same", { 1, "0000_a looks like a baseline" } },
  ["when-far-future"] = { "same", { 1, "0001_b was never applied" } },
  ["when-float"] = { { 2, "entry 1 (0000_a): `when` must be a whole number of milliseconds" } },
  ["when-inserted-middle"] = { "same", { 1, "0001_b was never applied" } },
  ["when-late-branch"] = { "same", { 1, "0002_c was never applied" } },
  ["when-late-then-dependent"] = { "same", { 1, "0002_c was never applied" } },
  ["when-missing"] = { { 2, "`when` must be" }, { 2, "it is missing" }, { 2, "it is missing" },
    { 2, "it is missing" } },
  ["when-over-bigint"] = { { 2, "`when` must be a whole number of milliseconds" } },
}

local function check(name, number, ours, found)
  local where = ("%s, step %d: exit %d, %s"):format(name, number, found.code, found.error)
  if type(ours) == "table" then
    assert.equal(ours[1], found.code, where)
    assert.is_truthy(found.error:find(ours[2], 1, true), where)
  else
    assert.equal(0, found.code, where)
    if ours == "same" then assert.is_true(found.same, where .. ": not Drizzle's end state") end
  end
end

describe("adversarial journals", function()
  local shared = project.shared()
  if not shared then
    it("end as the table says", function() pending("needs the shared corpus") end)
    return
  end
  for _, name in ipairs(fs.list(shared .. "/corpus/adversarial")) do
    local path = shared .. "/corpus/adversarial/" .. name
    if fs.find(path .. "/expected/expected.json") then
      it(name, function()
        for number, found in ipairs(adversarial.run(path)) do
          check(name, number, OURS[name] and OURS[name][number] or "same", found)
        end
      end)
    end
  end
end)
