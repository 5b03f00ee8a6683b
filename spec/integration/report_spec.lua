-- The reports of real runs, as GitHub's runner, GitLab and a program read them.
local actions = require "spec.support.actions"
local cjson = require "cjson"
local cli = require "spec.support.cli"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"
local project = require "spec.support.project"
local tmp = require "spec.support.tmp"

local REPORTS = 'steps.report { "text", "github", "json:out/r.json", "junit:out/j.xml", "gitlab:out/q.json" }'

---Runs a pipeline as a step of a job on GitHub. Returns what it printed, where, and its folder.
local function run(list, steps, more)
  local dir = tmp.dir { ["p.lua"] = ("return pipeline { name = 'prod', steps = { %s %s } }"):format(
    steps or "steps.migrate {},", REPORTS) }
  project.write(list, dir .. "/migrations")
  local env = { DATABASE_URL = pg.database "report", GITHUB_ACTIONS = "true", GITHUB_OUTPUT = dir .. "/outputs",
    GITHUB_STEP_SUMMARY = dir .. "/summary.md", GITHUB_ACTOR = "joe", GITHUB_SHA = ("ab"):rep(20), GITHUB_RUN_ID = "7",
    GITHUB_REPOSITORY = "acme/app", GITHUB_SERVER_URL = "https://github.com", GITHUB_WORKFLOW = "deploy" }
  for name, value in pairs(more and more.env or {}) do env[name] = value or nil end
  local words = { cwd = dir, env = env }
  for _, word in ipairs(more and more.options or {}) do words[#words + 1] = word end
  words[#words + 1] = "p.lua"
  return cli.run(words), dir
end

local function read(dir, name) return fs.read(dir .. "/" .. name) end

local function only(list, name)
  local out = {}
  for _, item in ipairs(list) do
    if item.name == name then out[#out + 1] = item.data end
  end
  return out
end

local TWO = { { "0000_a", "create table t (id int);" }, { "0001_b", "alter table t add column b text;" } }

describe("steps.report", function()
  it("R125 R81 tells GitHub what was applied, by whom, from which commit, under which locks", function()
    local ran, dir = run(TWO)
    assert.equal(0, ran.code, ran.stderr)
    assert.same({ changed = "true", applied = "2", pending = "0", gate = "pass" },
      actions.outputs(read(dir, "outputs")))
    local page = read(dir, "summary.md")
    assert.matches("^### migrator: done – 2 applied, 0 pending\n", page)
    for _, text in ipairs { "| by | joe |", "https://github.com/acme/app/actions/runs/7", "[abababababab](",
      "| round trips | ", "| database | migrator\\_test\\_report", "\n```mermaid\ngantt\n" } do
      assert.matches(text, page, 1, true)
    end
    assert.matches("| 0001\\_b | applied | [%d.]+ m?s | ACCESS EXCLUSIVE on t |", page)
    assert.is_nil(page:find("postgres://", 1, true))
    assert.same({}, only(actions.read(ran.stdout .. ran.stderr), "error"))
  end)

  it("R81 writes it all as JSON, JUnit and code quality, into folders that it makes", function()
    local ran, dir = run(TWO)
    assert.equal(0, ran.code, ran.stderr)
    local found = cjson.decode(read(dir, "out/r.json"))
    assert.same({ "done", "prod", "joe", "github", ("ab"):rep(20) }, { found.result, found.name, found.ci.actor,
      found.ci.provider, found.ci.commit })
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", found.at)
    assert.same({ tag = "0001_b", file = "migrations/0001_b.sql", status = "applied",
      lock = { mode = "ACCESS EXCLUSIVE", object = "t" },
      duration_ms = found.migrations[2].duration_ms }, found.migrations[2])
    assert.equal(2, #found.migrate.applied_now)
    local described = fs.read("docs/json.md"):match("\n## report\n(.-)\n## ")
    for key in pairs(found) do assert.matches("| `" .. key .. "` | ", described, 1, true) end
    assert.matches('<testsuite name="prod" tests="3" failures="0" errors="0" skipped="0"', read(dir, "out/j.xml"), 1,
      true)
    assert.equal("[]\n", read(dir, "out/q.json"))
  end)

  it("R125 points at the statement that failed, relative to the repository", function()
    local bad = { TWO[1], { "0001_b", "select 1;\nalter table nowhere add column b text;" } }
    local ran, dir = run(bad, nil, { env = { GITHUB_WORKSPACE = "/" } })
    assert.equal(1, ran.code)
    local errors = {}
    for _, item in ipairs(actions.read(ran.stdout .. "\n" .. ran.stderr)) do
      if item.name == "error" then errors[#errors + 1] = item end
    end
    assert.equal(1, #errors)
    assert.matches("^error file=" .. fs.absolute(dir):sub(2):gsub("%p", "%%%0") .. "/migrations/0001_b.sql,line=2,",
      errors[1].info)
    assert.equal("fail", actions.outputs(read(dir, "outputs")).gate)
    local found = cjson.decode(read(dir, "out/q.json"))
    assert.same({ 1, "blocker", "migrator.sql", 2 }, { #found, found[1].severity, found[1].check_name,
      found[1].location.lines.begin })
    assert.matches('<failure message="relation &quot;nowhere&quot; does not exist" type="sql">',
      read(dir, "out/j.xml"), 1, true)
    assert.matches("| 0001\\_b | failed | – | ACCESS EXCLUSIVE on nowhere |", read(dir, "summary.md"), 1, true)
    assert.equal("42P01", cjson.decode(read(dir, "out/r.json")).error.sqlstate)
  end)

  it("R125 annotates warnings at their file, ten of them at most", function()
    local list = {}
    for i = 1, 14 do list[i] = { ("%04d_x"):format(i), "-- nothing" } end
    local ran = run(list)
    assert.equal(0, ran.code, ran.stderr)
    local warnings = only(actions.read(ran.stdout), "warning")
    assert.equal(10, #warnings)
    assert.equal("0001_x holds no statement: it is only recorded as applied", warnings[1])
    assert.matches("^5 more warnings", warnings[10])
    assert.matches("::warning file=migrations/0001_x.sql,title=empty::", ran.stdout, 1, true)
  end)

  it("R125 lets nobody else give the runner a command", function()
    local evil = ([[do $$ begin
      raise notice E'::error::evil\n   ::set-env name=PATH::evil\n\r::add-mask::a\n##[group]evil\n%%0A::error::evil %%25 |<script>';
      raise notice E'🦔\n::error::evil';
      raise warning '%', repeat('::', 32768);
      raise exception E'x\n::error::evil\n##[error]evil\n\u00a0::stop-commands::evil' using detail = E'a\n::error::evil',
        hint = E'b\n::set-output name=gate::pass';
    end $$;]])
    for _, options in ipairs { {}, { "--json" }, { "--log", "json" }, { "--verbose" } } do
      local ran, dir = run({ TWO[1], { "0001_b", evil } }, nil, { options = options })
      assert.equal(1, ran.code)
      local allowed = { group = true, endgroup = true, error = true }
      for _, text in ipairs { ran.stdout, ran.stderr } do
        for _, item in ipairs(actions.read(text)) do
          assert.is_true(allowed[item.name], item.name)
          if item.name == "group" then assert.equal("step migrate", item.data) end
          if item.name == "error" then assert.matches("evil", item.data, 1, true) end
          if item.name == "error" then assert.matches("^error file=migrations/0001_b.sql,line=1,", item.info) end
        end
      end
      assert.equal(1, #only(actions.read(ran.stdout .. "\n" .. ran.stderr), "error"))
      assert.same({ changed = "true", applied = "0", pending = "2", gate = "fail" }, actions.outputs(read(dir,
        "outputs")))
      if options[1] == "--json" then assert.equal("0001_b", cjson.decode(ran.stdout).failed.migration) end
      local page = read(dir, "summary.md")
      assert.same({}, (actions.read(page)))
      assert.is_nil(page:find("<script", 1, true))
    end
  end)

  it("R125 writes an output of several lines so that no line of it can end it", function()
    local ran, dir = run(TWO, [[function()
      ci.output("evil", "EOF\ngate=pass\nEOF\nchanged<<X\n::error::x\nmigrator_0")
      end,
      function() error "no" end, ]])
    assert.equal(2, ran.code)
    local found = actions.outputs(read(dir, "outputs"))
    assert.equal("EOF\ngate=pass\nEOF\nchanged<<X\n::error::x\nmigrator_0", found.evil)
    assert.equal("fail", found.gate)
  end)

  it("folds steps on GitHub and GitLab, and leaves report and error outside", function()
    local ran = run(TWO)
    assert.matches("^::group::step migrate\n.*Verified: [^\n]*\n::endgroup::\nstep     result  time", ran.stdout)
    local env = { GITHUB_ACTIONS = false, GITLAB_CI = "true", GITLAB_USER_LOGIN = "ann", CI_COMMIT_SHA = "abc" }
    local dir
    ran, dir = run(TWO, nil, { env = env })
    assert.matches("^\27%[0Ksection_start:%d+:migrator_1_step_migrate\r\27%[0Kstep migrate\n.*Verified: [^\n]*\n"
      .. "\27%[0Ksection_end:%d+:migrator_1_step_migrate\r\27%[0K\nstep     result", ran.stdout)
    assert.same({ "gitlab", "ann" }, { cjson.decode(read(dir, "out/r.json")).ci.provider,
      cjson.decode(read(dir, "out/r.json")).ci.actor })
    assert.is_nil(fs.find(dir .. "/summary.md"))
  end)

  it("refuses what it does not know and a path that is no file, before anything runs", function()
    local function message(report)
      local dir = tmp.dir { ["p.lua"] = "return pipeline { function() print 'ran' end, steps.report " .. report .. " }",
        ["folder/x"] = "" }
      local ran = cli.run { "p.lua", cwd = dir }
      assert.same({ 2, "" }, { ran.code, ran.stdout })
      return ran.stderr
    end
    assert.matches('no report called "xml:a"', message '{ "xml:a" }', 1, true)
    assert.matches('no report called "github:x"', message '{ "github:x" }', 1, true)
    assert.matches("two reports would be written to a.json", message '{ "json:a.json", "gitlab:a.json" }', 1, true)
    assert.matches("folder is not a file", message '{ "json:folder" }', 1, true)
    assert.matches("takes a list of reports", message '"text"', 1, true)
    assert.matches("/dev/null is not a file", message '{ "json:/dev/null" }', 1, true)
  end)

  it("writes the others when one cannot be written, and fails", function()
    local ran, dir = run(TWO, [[function() fs.remove "out/r.json" fs.mkdir "out/r.json/x" end, ]])
    assert.equal(2, ran.code)
    assert.matches("r.json", ran.stderr, 1, true)
    assert.is_truthy(fs.find(dir .. "/out/j.xml"))
    assert.is_truthy(fs.find(dir .. "/out/q.json"))
  end)

  it("R131 has no secret in any file", function()
    local ran, dir = run(TWO, [[{ name = "s", run = function(ctx) ci.mask "hunter2&<x>" end },
      { name = "hunter2&<x>", run = function() error "it is hunter2&<x>" end }, ]])
    assert.equal(2, ran.code)
    for _, name in ipairs { "out/r.json", "out/j.xml", "out/q.json", "summary.md" } do
      assert.is_nil(read(dir, name):find("hunter2", 1, true), name)
    end
    assert.is_nil((ran.stdout .. ran.stderr):gsub("::add%-mask::[^\n]*", ""):find("hunter2", 1, true))
  end)
end)

describe("--report", function()
  local url, dir

  before_each(function()
    url, dir = pg.database "report", tmp.dir {}
    project.write(TWO, dir .. "/migrations")
  end)

  local function go(...) return cli.run { cwd = dir, env = { DATABASE_URL = url }, ... } end

  local function document(name) return cjson.decode(read(dir, name or "r.json")) end

  it("R14 R81 is the document of --json, in a file, of migrate, verify, gate and seed", function()
    assert.equal(1, go("verify", "--report", "r.json").code)
    assert.equal("verify", document().failed.code)
    local ran = go("migrate", "--report", "deep/er/r.json", "--json")
    assert.equal(0, ran.code, ran.stderr)
    assert.equal(ran.stdout, read(dir, "deep/er/r.json"))
    assert.equal(2, #document("deep/er/r.json").applied_now)
    ran = go("migrate", "--report", "r.json")
    assert.matches("Applied 0 new", ran.stdout, 1, true)
    assert.same({ 2, 0 }, { document().applied, #document().applied_now })
    go("gate", "--report", "r.json")
    assert.is_true(document().ok)
    tmp.write(dir .. "/seeds/a/tier.lua",
      'return { order = 1, description = "d", environments = "all", idempotent = false }')
    tmp.write(dir .. "/seeds/a/1_t.sql", "insert into t values (1)")
    ran = go("seed", "--report", "r.json")
    assert.equal(0, ran.code, ran.stderr)
    assert.equal("a", document().tiers[1].tier)
  end)

  it("is written when the run fails, and before there was a pipeline", function()
    tmp.write(dir .. "/p.lua", "return pipeline { steps.migrate { dir = 'nowhere' } }")
    assert.equal(2, go("--report", "r.json", "p.lua").code)
    assert.is_string(document().error.message)
    tmp.write(dir .. "/p.lua", "return pipeline { steps.migrate {}, function() error 'no' end }")
    assert.equal(2, go("--report", "r.json", "p.lua").code)
    assert.same({ "script", "failed" }, { document().failed.code, document().steps[2].status })
    tmp.write(dir .. "/p.lua", "error 'x'")
    assert.equal(2, go("--report", "r.json", "p.lua").code)
    assert.equal("script", document().error.code)
    tmp.write(dir .. "/p.lua", "print 'x'")
    assert.equal("x\n", go("--report", "r.json", "p.lua").stdout)
    assert.same({ steps = {}, duration_ms = document().duration_ms }, document())
    local ran = cli.run { "migrate", "--report", "r.json", "--url", "postgres://u:pa55word@127.0.0.1:1/x", cwd = dir }
    assert.equal(4, ran.code)
    assert.equal("connect", document().failed.code)
    assert.is_nil(read(dir, "r.json"):find("pa55word", 1, true))
  end)

  it("never leaves an older run's report behind, not even when the run is killed", function()
    tmp.write(dir .. "/p.lua", "print '{}' process.run { cmd = { 'sh', '-c', 'kill -9 $PPID; sleep 1' } }")
    tmp.write(dir .. "/r.json", '{"steps":[],"duration_ms":1}')
    local ran = go("--report", "r.json", "p.lua")
    assert.is_true(ran.signal ~= nil or ran.code ~= 0)
    assert.same({ error = { code = "internal", message = "the run did not come to its end" } }, document())
  end)

  it("refuses a place that cannot be written to before anything is done", function()
    fs.mkdir(dir .. "/folder")
    local ran = go("migrate", "--report", "folder")
    assert.same({ 2, "" }, { ran.code, ran.stdout })
    assert.matches("--report: folder is not a file", ran.stderr, 1, true)
    assert.equal(2, go("migrate", "--report", "/dev/stdout").code)
    assert.equal(10, go("status", "--check").code)
  end)
end)

describe("docs/ci.md", function()
  it("names the inputs of the action and the reports that there are", function()
    local page, inputs = fs.read "docs/ci.md", {}
    for name in page:gmatch("\n| `([%w:-]+)` |") do inputs[name:gsub(":FILE", "")] = true end
    local declared = fs.read(".github/actions/migrate/action.yml"):match("\ninputs:(\n.-)\noutputs:")
    for name in declared:gmatch("\n  (%l[%l-]*):%f[\n]") do
      assert.is_true(inputs[name], name)
    end
    for _, name in ipairs { "text", "github", "json", "junit", "gitlab" } do assert.is_true(inputs[name], name) end
  end)
end)
