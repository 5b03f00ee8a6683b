local cli = require "spec.support.cli"
local tmp = require "spec.support.tmp"

local A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"

local MIGRATION = [[create table note (organization_id uuid not null, body text);--> statement-breakpoint
create role app;--> statement-breakpoint
create role root superuser;--> statement-breakpoint
create role sly bypassrls;--> statement-breakpoint
grant select, insert, update, delete on note to app;--> statement-breakpoint
insert into note values (']] .. A .. "', 'a'), ('" .. B .. "', 'b');"

local SPEC = 'local A, B = %q, %q\ndescribe("note", function() it("x", function()\n%s\nend) end)'

-- A project whose policies are repeatable scripts, and a spec of it.
local function run(body, policies)
  return cli.run { "test", cwd = tmp.dir {
    ["migrator.config.lua"] = 'return { repeatable = "policies" }',
    ["migrations/meta/_journal.json"] = '{"version":"7","dialect":"postgresql","entries":[{"idx":0,"version":"7",'
      .. '"when":1700000000000,"tag":"0000_note","breakpoints":true}]}',
    ["migrations/0000_note.sql"] = MIGRATION,
    ["policies/10_note.sql"] = policies or [[alter table note enable row level security;
alter table note force row level security;
drop policy if exists p on note;
create policy p on note
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));]],
    ["spec/note_spec.lua"] = SPEC:format(A, B, body),
  } }
end

local function fails(body, wants, policies)
  local ran = run(body, policies)
  assert.equal(1, ran.code)
  assert.matches(wants, ran.stdout, 1, true)
end

describe("as_role", function()
  it("shows that A does not see B, as the real role, and is rolled back (R118)", function()
    local ran = run [[
      for _, one in ipairs { A, B } do
        local seen, body = as_role("app", { ["app.organization_id"] = one }, function(conn)
          local found = conn:exec "select organization_id as id, body from note"
          conn:exec "update note set body = 'changed'"
          return #found, found[1].body
        end)
        assert.same({ 1, one == A and "a" or "b" }, { seen, body })
      end
      as_role("app", function(conn) assert.equal(0, conn:value "select count(*) from note") end)
      assert.has_error(function()
        as_role("app", { ["app.organization_id"] = A }, function(conn) conn:exec("insert into note values ($1)", B) end)
      end)
      assert.equal(2, db.value "select count(*) from note where body <> 'changed'")
      assert.equal("postgres", db.value "select current_user::text")
      assert.same({ "postgres", true }, { db.identity().user, db.identity().superuser })]]
    assert.equal("", ran.stderr)
    assert.matches("1 passed, 0 failed", ran.stdout, 1, true)
  end)

  it("fails where the policies are missing", function()
    fails([[as_role("app", { ["app.organization_id"] = A }, function(conn)
      assert.equal(1, conn:value "select count(*) from note") end)]], "note_spec.lua:4: note x", "select 1")
  end)

  it("refuses roles for whom no policy holds, and what is no role (R119)", function()
    for role, wants in pairs { root = "the role root is a superuser", postgres = "the role postgres is a superuser",
      sly = "the role sly is BYPASSRLS", nobody = "there is no role nobody" } do
      fails(('as_role("%s", function() end)'):format(role), wants)
    end
    fails("as_role({}, function() end)", "as_role wants a role")
    fails('as_role("app", {})', "as_role wants a role")
  end)

  it("fails when the function ends the transaction: what it did would stay", function()
    fails([[as_role("app", { ["app.organization_id"] = A }, function(conn)
      conn:exec "update note set body = 'kept'"
      conn:exec "commit"
    end)]], "as_role: the function ended the transaction")
  end)

  it("has `rls` beside it: an audit as a spec (R114)", function()
    assert.matches("1 passed, 0 failed", run([[assert.same({}, rls.audit(db, { role = "app" }))]]).stdout, 1, true)
    fails([[assert.same({}, rls.audit(db, { role = "app" }))]], "public.note is not FORCEd",
      "alter table note enable row level security; create policy p on note using (organization_id is null)")
  end)
end)
