local cli = require "spec.support.cli"
local db = require "migrator.db"
local expression = require "migrator.rls.expression"
local pg = require "spec.support.pg"
local policies = require "migrator.rls.policies"
local project = require "spec.support.project"
local rls = require "migrator.rls"
local tmp = require "spec.support.tmp"

local A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"

describe("rls", function()
  local conn, url, name, role

  before_each(function()
    url, name = pg.database()
    conn = db.connect(url)
    role = name .. "_app"
    conn:exec(("create role %s"):format(role))
    conn:script(([[create table note (id int generated always as identity primary key, organization_id uuid not null,
      body text); create table plain (id int); grant all on note, plain to %s;]]):format(role))
    conn:exec("insert into note (organization_id, body) values ($1, 'a'), ($2, 'b')", A, B)
  end)

  after_each(function()
    conn:close()
    pg.drop(name)
    pg.admin():exec(("drop role %s"):format(role))
  end)

  local function tenants(more)
    local opts = { table = "note", role = role }
    for key, value in pairs(more or {}) do opts[key] = value end
    return rls.tenant_policies(conn, opts)
  end

  local function as(organization, fn)
    return conn:transaction(fn, { role = role, vars = { ["app.organization_id"] = organization }, rollback = true })
  end

  local function refused(wants, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.matches(wants, tostring(err), 1, true)
  end

  ---rule -> message of the first finding
  local function audit(opts)
    local out, list = {}, rls.audit(conn, opts)
    for _, finding in ipairs(list) do out[finding.rule] = out[finding.rule] or finding.message end
    return out, #list
  end

  describe("tenant_policies", function()
    it("makes the four, with the setting in a sub-select, enabled and FORCEd (R115)", function()
      assert.same({ "public.note" }, tenants())
      local rows = conn:exec [[select policyname::text as name, cmd, qual, with_check, roles::text as roles from pg_policies
        order by 1]]
      local text = "(organization_id = ( SELECT (NULLIF(current_setting('app.organization_id'::text, true), ''::text))"
        .. '::uuid AS "nullif"))'
      local found = {}
      for i, row in ipairs(rows) do
        found[i] = { row.name, row.cmd, row.qual == text, row.with_check == text, row.roles }
      end
      local to = "{" .. role .. "}"
      assert.same({ { "note_delete", "DELETE", true, false, to }, { "note_insert", "INSERT", false, true, to },
        { "note_select", "SELECT", true, false, to }, { "note_update", "UPDATE", true, true, to } }, found)
      assert.is_true(conn:value "select relrowsecurity and relforcerowsecurity from pg_class where relname = 'note'")
      assert.same({}, rls.audit(conn, { role = role }))
    end)

    it("keeps A and B apart: reading, writing, moving, deleting; without a tenant there is nothing (R118)", function()
      tenants()
      as(A, function() assert.equal("a", conn:value "select string_agg(body, ' ') from note") end)
      as(B, function()
        assert.equal(0, conn:exec("delete from note where organization_id = $1", A).affected)
        assert.equal(1, conn:exec("update note set body = 'x'").affected)
      end)
      refused("violates row-level security", as, B, function()
        conn:exec("insert into note (organization_id) values ($1)", A)
      end)
      refused("violates row-level security", as, B, function() conn:exec("update note set organization_id = $1", A) end)
      as("", function() assert.equal(0, conn:value "select count(*) from note") end)
      conn:transaction(function() assert.equal(0, conn:value "select count(*) from note") end,
        { role = role, rollback = true })
      assert.equal(2, conn:value "select count(*) from note")
    end)

    it("runs again, on several tables, whatever the column's name and type", function()
      conn:script [[create schema "Odd one"; create table "Odd one"."T" ("Org" int); create table u ("Org" text)]]
      for _ = 1, 2 do
        assert.same({ '"Odd one"."T"', "public.u" }, rls.tenant_policies(conn, { tables = { '"Odd one"."T"', "u" },
          column = "Org", setting = "my.org" }))
      end
      assert.equal(8, conn:value "select count(*) from pg_policies where roles = '{public}'")
    end)

    it("is all or nothing", function()
      refused("there is no table nowhere", rls.tenant_policies, conn, { tables = { "note", "nowhere" } })
      refused("public.plain has no column organization_id", rls.tenant_policies, conn, { tables = { "note", "plain" } })
      assert.equal(0, conn:value "select count(*) from pg_policies")
      assert.is_false(conn:value "select relrowsecurity from pg_class where relname = 'note'")
    end)

    it("keeps names of policies apart that the server would cut to one", function()
      local long = ("ü"):rep(29) .. "abcde"
      conn:exec(("create table %s (organization_id int)"):format(long))
      rls.tenant_policies(conn, { table = long })
      assert.equal(4, conn:value "select count(*) from pg_policies where octet_length(policyname) <= 63")
      assert.equal("t_select", policies.policy_name("t", "select"))
    end)
  end)

  describe("replace_policy", function()
    it("drops and creates in one transaction (R113)", function()
      for _, text in ipairs { "true", "body = 'a'" } do
        rls.replace_policy(conn, { table = "note", name = 'the "one"', command = "SELECT", using = text, role = role })
      end
      assert.equal("(body = 'a'::text)", conn:value [[select qual from pg_policies where policyname = 'the "one"']])
      refused("column \"nope\" does not exist", rls.replace_policy, conn,
        { table = "note", name = 'the "one"', using = "nope" })
      assert.equal("(body = 'a'::text)", conn:value "select qual from pg_policies")
      assert.equal("idle", conn:status())
    end)

    it("is part of the transaction that is under way", function()
      conn:transaction(function()
        rls.replace_policy(conn, { table = "note", name = "p", using = "true", check = "false", restrictive = true,
          role = { role, "PUBLIC" } })
        assert.equal("RESTRICTIVE", conn:value "select permissive from pg_policies")
      end, { rollback = true })
      assert.equal(0, conn:value "select count(*) from pg_policies")
    end)

    it("refuses what could not be meant", function()
      local function try(opts) return rls.replace_policy, conn, opts end
      refused("has no option", try { table = "note", name = "p", usng = "true" })
      refused("needs the option \"name\"", try { table = "note", using = "true" })
      refused("command is all, select", try { table = "note", name = "p", using = "true", command = "truncate" })
      refused("`check` instead of `using`", try { table = "note", name = "p", using = "true", command = "insert" })
      refused("`using` instead of `check`", try { table = "note", name = "p", check = "true", command = "delete" })
      refused("needs `using`", try { table = "note", name = "p" })
      refused("wants a session first", rls.replace_policy, {}, { table = "note", name = "p", using = "true" })
      conn:exec "create view v as select 1 as x"
      refused("v is not a table", try { table = "v", name = "p", using = "true" })
      refused("cannot insert multiple commands", try { table = "note", name = "p",
        using = "true); drop table note; --" })
    end)
  end)

  describe("audit", function()
    it("finds what is off: row-level security, FORCE, policies (R114)", function()
      local found, count = audit()
      assert.equal(3, count)
      assert.matches("public.note has organization_id, but row-level security is off", found["no-rls"], 1, true)
      assert.matches("its owner postgres sees every row", found["no-force"], 1, true)
      assert.equal("public.note has no policy for SELECT, INSERT, UPDATE, DELETE", found["no-policy"])
      tenants()
      conn:exec "drop policy note_update on note"
      conn:exec "alter table note no force row level security"
      found, count = audit()
      assert.equal(2, count)
      assert.equal("public.note has no policy for UPDATE", found["no-policy"])
      assert.is_string(found["no-force"])
    end)

    it("counts only policies that hold for the role, and are permissive", function()
      tenants { role = "pg_monitor" }
      assert.same({}, (audit()))
      assert.matches("DELETE that holds for " .. role, audit({ role = role })["no-policy"], 1, true)
      conn:exec(("grant pg_monitor to %s"):format(role))
      assert.same({}, (audit { role = role }))
      rls.replace_policy(conn, { table = "note", name = "note_select", command = "select", restrictive = true,
        using = "organization_id is not null" })
      assert.equal("public.note has no policy for SELECT", audit()["no-policy"])
    end)

    it("finds calls for each row, policies that are open, and those about something else", function()
      tenants()
      rls.replace_policy(conn, { table = "note", name = "slow", command = "select", role = "pg_monitor",
        using = "organization_id::text = current_setting('app.organization_id')" })
      assert.matches("policy slow on public.note calls current_setting for each row (USING)", audit()["slow-policy"], 1,
        true)
      rls.replace_policy(conn, { table = "note", name = "open", command = "update", using = "body = 'organization_id'",
        check = "true" })
      local found = audit { role = role }
      assert.matches("policy open on public.note lets every row through (WITH CHECK)", found["open-policy"], 1, true)
      assert.matches("policy open on public.note does not look at organization_id (USING)", found["other-policy"], 1,
        true)
    end)

    it("finds grants that are missing (R117)", function()
      tenants()
      conn:exec(("revoke update, delete on note from %s"):format(role))
      assert.equal(("%s lacks UPDATE, DELETE on public.note"):format(role), audit({ role = role })["no-grant"])
      assert.same({}, (audit { role = role, grants = { "select", "insert" } }))
      conn:exec "create schema s"
      conn:exec "create table s.t (organization_id int)"
      conn:exec(("grant all on s.t to %s"):format(role))
      rls.tenant_policies(conn, { table = "s.t" })
      assert.equal(("%s has no USAGE on the schema of s.t"):format(role),
        audit({ role = role, schemas = { "s" } })["no-grant"])
      assert.is_nil(audit({ role = role, schemas = { "s" } })["no-force"])
    end)

    it("finds roles for whom no policy holds, or who may become one (R119)", function()
      tenants { role = "public" }
      assert.equal("the role postgres is a superuser: no policy holds for it", audit({ role = "postgres" }).role)
      assert.equal("there is no role nobody_here", audit({ role = "nobody_here" })["no-role"])
      conn:exec(("alter role %s bypassrls"):format(role))
      assert.matches("is BYPASSRLS", audit({ role = role }).role, 1, true)
      conn:exec(("alter role %s nobypassrls"):format(role))
      conn:exec(("grant postgres to %s"):format(role))
      assert.matches("may become postgres", audit({ role = role }).role, 1, true)
    end)

    it("finds views that ask as their owner, also over each other", function()
      if conn:info().version_number < 150000 then pending "views that ask as their user: PostgreSQL 15" end
      tenants()
      conn:script [[create view inner_one with (security_invoker = on) as select * from note;
        create view outer_one as select * from inner_one; create view other as select * from plain;
        create materialized view kept as select * from note]]
      local list, objects = rls.audit(conn, { role = role }), {}
      for i, finding in ipairs(list) do objects[i] = finding.rule .. " " .. finding.object end
      assert.same({ "view public.kept", "view public.outer_one" }, objects)
      assert.equal("alter view public.outer_one set (security_invoker = true)", list[2].hint)
      conn:exec(list[2].hint)
      assert.same({}, rls.audit(conn, { except = { "public.kept" } }))
    end)

    it("leaves out what is excepted, but never looks at nothing without saying so", function()
      assert.same({}, (audit { except = { "note" } }))
      assert.equal("no table has a column tenant: nothing was looked at", audit({ column = "tenant" })["no-tables"])
      refused("has no option", rls.audit, conn, { colum = "x" })
    end)
  end)

  it("is there for scripts, with `db` for the run's connection", function()
    local file = tmp.write(tmp.dir {} .. "/s.lua", [[
      log.print(rls.tenant_policies(db, { table = "note" })[1], #rls.audit(db.connect()))
      rls.replace_policy(db, { table = "note", name = "x" })]])
    local ran = cli.run { file, env = { DATABASE_URL = url } }
    assert.equal("public.note\n", ran.stdout)
    assert.matches(file .. ":2: rls.replace_policy needs `using`", ran.stderr, 1, true)
    assert.equal(2, ran.code)
  end)

  it("is there for seeds, within the tier's transaction", function()
    local dir = tmp.dir { ["seeds/reference/10_rls.lua"] = 'rls.tenant_policies(seed, { table = "note" })\n'
      .. 'seed.exec("select 1/0")',
      ["seeds/reference/tier.lua"] = 'return { order = 1, idempotent = true, environments = "all" }' }
    project.write({}, dir .. "/migrations")
    local ran = cli.run { "seed", "--url", url, cwd = dir }
    assert.matches("division by zero", ran.stderr, 1, true)
    assert.equal(0, conn:value "select count(*) from pg_policies")
    tmp.write(dir .. "/seeds/reference/10_rls.lua", 'rls.tenant_policies(seed, { table = "note" })')
    assert.equal(0, cli.run({ "seed", "--url", url, cwd = dir }).code)
    assert.equal(4, conn:value "select count(*) from pg_policies")
  end)

  describe("steps.rls_audit", function()
    local function pipeline(options)
      local file = tmp.write(tmp.dir {} .. "/p.lua", ("return pipeline { steps.rls_audit { %s } }"):format(options))
      return cli.run { file, env = { DATABASE_URL = url } }
    end

    it("fails the run with exit code 1 and names every finding", function()
      local ran = pipeline ""
      assert.equal(1, ran.code)
      assert.matches("no-rls: public.note has organization_id", ran.stderr, 1, true)
      assert.matches("no-force: public.note is not FORCEd", ran.stderr, 1, true)
      assert.matches("row-level security: 3 finding(s)", ran.stderr, 1, true)
    end)

    it("passes where nothing is found, and where a rule is only warned of", function()
      tenants()
      assert.matches("Row-level security: nothing found.", pipeline("role = '" .. role .. "'").stdout, 1, true)
      conn:exec "alter table note no force row level security"
      assert.equal(1, pipeline("").code)
      local ran = pipeline 'warn = { "no-force" }'
      assert.equal(0, ran.code)
      assert.matches("warning: no-force", ran.stderr, 1, true)
    end)
  end)

  describe("find_slow_call", function()
    it("sees calls that no sub-select encloses, and no text that looks like one", function()
      for text, wants in pairs {
        ["(a = current_setting('x'::text))"] = "current_setting", ["(a = auth.uid())"] = "auth.uid",
        ["(a = ( SELECT current_setting('x'::text) AS current_setting))"] = false,
        ["(a = ( SELECT (NULLIF(current_setting('x'::text, true), ''::text))::uuid AS \"nullif\"))"] = false,
        ["((a = ( SELECT 1)) OR (b = (current_setting('y'::text))::integer))"] = "current_setting",
        ["(a = 'current_setting('::text)"] = false, ["(a = 'it''s ( SELECT '::text || current_setting('x'))"]
          = "current_setting",
        ["(\"current_setting\" = 1)"] = false, ["(pg_catalog.current_setting('x') = a)"] = "current_setting",
      } do
        assert.equal(wants or nil, expression.find_slow_call(text), text)
      end
    end)

    it("finds a column whose name is not in ASCII, and not one that is only like it", function()
      assert.is_true(expression.mentions('("örg" = 1)', "örg"))
      assert.is_false(expression.mentions('("größe" = 1)', "gr"))
    end)
  end)
end)
