-- What the reports make of texts that want to be something else: markup, XML, workflow commands, secrets.
local annotations = require "migrator.sink.annotations"
local cjson = require "cjson"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local gitlab = require "migrator.sink.gitlab"
local groups = require "migrator.sink.groups"
local junit = require "migrator.sink.junit"
local markdown = require "migrator.sink.markdown"
local mask = require "migrator.lib.mask"
local place = require "migrator.sink.place"
local process = require "migrator.core.process"
local actions = require "spec.support.actions"
local sinks = require "migrator.sink"
local tmp = require "spec.support.tmp"

local EVIL = { "::error::evil", "  ::error::evil", "a\n::set-env name=PATH::/evil", "a\r::error::evil", "##[group]x",
  "%0A::error::x", "%25", "🦔 e\u{301} \u{202E}evil", "|a|b|", "<script>alert(1)</script>", "<!-- x", "`x` ``` ~~~",
  "[a](javascript:x)", "![i](http://evil/x.png)", "https://evil.example", "@everyone", "$x$", "</failure>]]>",
  "&amp;", "\0\1\27[2J\8", "\255\254",
  "a\n```\n# head", "title x", "gantt", "2024-01-01 x", "section", "done, crit, x: 1, 2", "click a href \"x\"",
  ("x"):rep(65536), ("::"):rep(32768), ("é"):rep(40000) }

local function note(text, more)
  local out = { rule = "r", title = text, message = text, hint = text }
  for key, value in pairs(more or {}) do out[key] = value end
  return out
end

local function hostile(text)
  local err = errors.new("sql", { message = text, hint = text, detail = text, file = text, line = 3, state = text })
  return { result = "failed", name = text, at = "2026-01-02T03:04:05Z", duration_ms = 1234, round_trips = 4,
    applied = 1, pending = 1, ci = { provider = "github", actor = text, commit = text, url = "https://x/" .. text,
      job = text, commit_url = "https://x/" .. text },
    server = { version = text, database = text, user = text, host = text },
    steps = { { name = text, status = "ok", elapsed = 1, duration_ms = 1000, what = text },
      { name = "migrate", status = "failed", elapsed = 0.2, duration_ms = 200, what = text } },
    migrations = { { tag = text, file = text, status = "applied", duration_ms = 20, lock = { mode = "SHARE",
      object = text } }, { tag = text, file = text, status = "failed", duration_ms = 0 } },
    warnings = { note(text), note(text, { file = text, line = 2 }) }, notices = { note(text) },
    secrets = { { name = text, from = text, version = text } }, error = err }
end

local function fake_context(environment)
  local out = {}
  local sink = sinks.new { environment = environment }
  function sink.write(_, _, text) out[#out + 1] = text end
  return { sink = sink, config = { environment = environment, dir = "migrations" } },
    function() return table.concat(out) end
end

local commands = actions.read

describe("spec's reader of workflow commands", function()
  it("finds what the runner finds", function()
    local function names(text)
      local out = {}
      for i, found in ipairs(commands(text)) do out[i] = found.name end
      return out
    end
    assert.same({ "error", "group", "warning" }, names("x\n \u{A0}::error::a\n"
      .. "y ##[group]b\rz\r::warning file=a::c\n::nothing::\n"))
    assert.same({}, names "x ::error::a\n: :error::\n## [group]")
  end)
end)

describe("sink.markdown", function()
  it("R125 R81 is one page of the same shape, whatever the names and messages are", function()
    local calm = select(2, markdown.page(hostile "x"):gsub("\n", ""))
    for _, text in ipairs(EVIL) do
      local page = markdown.page(hostile(text))
      assert.equal(calm, select(2, page:gsub("\n", "")), text:sub(1, 40))
      assert.is_truthy(utf8.len(page))
      assert.same({}, commands(page))
      assert.is_nil(page:find("[%z\1-\9\11-\31]"))
      assert.is_nil(page:find("\u{202E}", 1, true))
      assert.is_true(#page < 64 * 1024)
    end
  end)

  it("R125 has no cell, tag, link, image or code of others", function()
    for _, text in ipairs(EVIL) do
      local page = markdown.page(hostile(text)):gsub("\n```mermaid\n.-\n```\n", "\n")
      page = page:gsub("%[([^%]\n]*)%]%(https://x/[%w/:._~%%-]*%)", "%1")
      for line in page:gmatch("[^\n]+") do
        assert.is_nil(line:find("<%a") or line:find("<[!/]"), line)
        assert.is_nil(line:find("%f[\\`]`"), line)
        assert.is_nil(line:gsub("\\.", ""):find("[%[`]"), line)
        assert.is_nil(line:find("https?://"), line)
      end
      for line in page:gmatch("\n(|[^\n]+)") do
        local bars = select(2, line:gsub("\\.", ""):gsub("|", ""))
        assert.is_true(bars == 3 or bars == 5, line)
      end
    end
  end)

  it("draws a timeline that Mermaid reads: name, tag, start in milliseconds, length", function()
    for _, text in ipairs(EVIL) do
      local chart = markdown.page(hostile(text)):match("\n```mermaid\n(gantt\n.-)\n```\n")
      local bars = 0
      for line in chart:gmatch("\n([^\n]+)") do
        local known = line == "  dateFormat x" or line == "  axisFormat %M:%S.%L" or line:find("^  section %l+$")
        if not known then
          assert.matches("^  %d+ [%w_.-]+ :%l+, %d+, %d+ms$", line)
          bars = bars + 1
        end
      end
      assert.equal(3, bars)
    end
    local chart = markdown.page(hostile "s")
    assert.matches("  1 s :done, 0, 1000ms\n  2 migrate :crit, 1000, 200ms\n  section migrations\n"
      .. "  1 s :done, 1000, 20ms", chart, 1, true)
  end)

  it("R81 says who, which commit, where, how long, what was locked, and which version of a secret", function()
    local run = hostile "x"
    run.error, run.result = nil, "done"
    run.ci = { actor = "joe", commit = "0123456789abcdef", url = "https://github.com/a/b/actions/runs/7",
      commit_url = "https://github.com/a/b/commit/0123456789abcdef" }
    run.server = { version = "16.1", database = "app", user = "deploy", host = "10.0.0.1" }
    run.secrets = { { name = "DATABASE_URL", from = "sm://p/n", version = "3" } }
    local page = markdown.page(run)
    for _, text in ipairs { "### migrator: done – 1 applied, 1 pending\n", "| by | joe |",
      "| commit | [0123456789ab](https://github.com/a/b/commit/0123456789abcdef) |",
      "| run | [this run](https://github.com/a/b/actions/runs/7) |", "| round trips | 4 |", "| took | 1.23 s |",
      "| began | 2026-01-02T03:04:05Z |", "| database | app as deploy on 10.0.0.1, PostgreSQL 16.1 |",
      "| DATABASE\\_URL | version 3 of sm://p/n |", "| x | applied | 20 ms | SHARE on x |" } do
      assert.matches(text, page, 1, true)
    end
  end)

  it("stays small with a journal of any length", function()
    local run = hostile(("long "):rep(1000))
    for i = 1, 5000 do run.migrations[i], run.warnings[i] = run.migrations[1], run.warnings[1] end
    local page = markdown.page(run)
    assert.is_true(#page < 1024 * 1024)
    assert.matches("| … and 4800 more |", page, 1, true)
    assert.matches("- … and 4800 more", page, 1, true)
  end)
end)

describe("sink.annotations", function()
  it("R125 are one command each, and what is in them comes out as it went in", function()
    for _, text in ipairs(EVIL) do
      local ctx, printed = fake_context { GITHUB_ACTIONS = "true" }
      annotations.print(ctx, hostile(text))
      local found = commands(printed())
      assert.equal(4, #found)
      assert.equal(4, select(2, printed():gsub("\n", "")))
      assert.equal("error warning warning notice", table.concat({ found[1].name, found[2].name, found[3].name,
        found[4].name }, " "))
      if #text < 1000 then assert.equal(text .. "\n" .. text, found[2].data) end
      assert.is_true(#found[1].data < 5000)
      assert.is_nil(found[3].info:gsub("^%S+ ", ""):gsub("%f[%w]%l+=", ""):find("[:\n]"))
    end
  end)

  it("are ten of a kind at most, and the tenth says so", function()
    local run = hostile "x"
    for i = 1, 25 do run.warnings[i], run.notices[i] = note("w" .. i), note("n" .. i) end
    run.notices[11] = nil
    run.notices = { table.unpack(run.notices, 1, 10) }
    local by_level = { error = {}, warning = {}, notice = {} }
    for _, item in ipairs(annotations.of(run)) do table.insert(by_level[item.level], item.message) end
    assert.same({ 1, 10, 10 }, { #by_level.error, #by_level.warning, #by_level.notice })
    assert.matches("^16 more warnings: GitHub shows no more than 10 of a kind", by_level.warning[10])
    assert.equal("n10\nn10", by_level.notice[10])
  end)

  it("mark the error as annotated, so that it is not said twice", function()
    local ctx, run = fake_context { GITHUB_ACTIONS = "true" }, hostile "x"
    annotations.print(ctx, run)
    assert.is_true(rawget(run.error, "annotated"))
  end)
end)

describe("sink.place", function()
  it("is relative to the root of the repository", function()
    local root = fs.current()
    assert.equal("m/a.sql", place.of({}, "./m/a.sql"))
    assert.equal("m/a.sql", place.of({ GITHUB_WORKSPACE = root }, "m/a.sql"))
    local above, folder = root:match("^(.*)/([^/]+)$")
    assert.equal(folder .. "/m/a.sql", place.of({ CI_PROJECT_DIR = above }, "m/a.sql"))
    assert.equal("/elsewhere/a.sql", place.of({ GITHUB_WORKSPACE = root }, "/elsewhere/a.sql"))
    assert.is_nil(place.of({ GITHUB_WORKSPACE = root }, nil))
  end)
end)

describe("sink.junit", function()
  ---What another reader of XML makes of each text; one process for all of them.
  local function parse(texts)
    local files, cmd = {}, { "python3", "-c", [[
import sys, json, xml.etree.ElementTree as e
out = []
for name in sys.argv[1:]:
  r = e.parse(name).getroot()
  s = r.find("testsuite")
  out.append({"suites": len(r), "attributes": dict(s.attrib), "failure": s.find(".//failure").text, "cases": [
    {"name": c.get("name"), "class": c.get("classname"), "kinds": [k.tag for k in c]} for c in s.findall("testcase")]})
print(json.dumps(out))]] }
    local dir = tmp.dir {}
    for i, text in ipairs(texts) do
      files[i] = ("%s/%d.xml"):format(dir, i)
      fs.write(files[i], junit.text(hostile(text)))
      cmd[#cmd + 1] = files[i]
    end
    local ran = process.run { cmd = cmd }
    assert.equal(0, ran.code, ran.stderr)
    return cjson.decode(ran.stdout)
  end

  it("R125 is valid XML with one case for each step and migration", function()
    if not process.find "python3" then return pending "needs python3" end
    for _, found in ipairs(parse(EVIL)) do
      local a, cases = found.attributes, {}
      assert.same({ 1, "4", "2", "0", "0" }, { found.suites, a.tests, a.failures, a.errors, a.skipped })
      for i, case in ipairs(found.cases) do cases[i] = case.class .. " " .. #case.kinds end
      assert.same({ "migrator.steps 0", "migrator.steps 1", "migrator.migrations 0", "migrator.migrations 1" }, cases)
      assert.is_nil(found.failure:find("[%z\1-\8\11-\31]"))
    end
    assert.equal("<a & \"b\">", parse { "<a & \"b\">" }[1].cases[1].name)
  end)

  it("hides a secret before it is escaped", function()
    mask.add "s3cr&t<x>"
    finally(mask.clear)
    local text = junit.text(hostile "s3cr&t<x>")
    assert.is_nil(text:find("s3cr", 1, true))
    assert.matches("***", text, 1, true)
  end)
end)

describe("sink.encode_masked", function()
  it("R131 hides in texts and names, and leaves JSON what it is", function()
    finally(mask.clear)
    for _, secret in ipairs { "170000", "true", 'a"b\\c\n' } do mask.add(secret) end
    local text = require("migrator.sink").encode_masked { when = 1700001700001, ok = true,
      ["is 170000"] = 'x a"b\\c\n y 170000' }
    local value = require("cjson").decode(text)
    assert.same({ 1700001700001, true, "x *** y ***" }, { math.tointeger(value.when), value.ok, value["is ***"] })
  end)
end)

describe("sink.gitlab", function()
  local LEVELS = { info = true, minor = true, major = true, critical = true, blocker = true }

  it("has all that GitLab asks of an entry, and no fingerprint twice", function()
    for _, text in ipairs(EVIL) do
      local run = hostile(text)
      run.warnings[3] = run.warnings[1]
      local list = cjson.decode(sinks.encode(gitlab.document(fake_context {}, run)))
      assert.equal(5, #list)
      local seen = {}
      for _, item in ipairs(list) do
        assert.same({ "string", "string", true, "string", "number" }, { type(item.description), type(item.check_name),
          LEVELS[item.severity], type(item.location.path), type(item.location.lines.begin) })
        assert.matches("^%x+$", item.fingerprint)
        assert.is_nil(seen[item.fingerprint])
        seen[item.fingerprint] = true
      end
    end
    assert.equal("[]", sinks.encode(gitlab.document(fake_context {}, { warnings = {}, notices = {} })))
  end)

  it("gives a finding the same fingerprint when its line moves, and what has no place the script's", function()
    local ctx, run = fake_context {}, { warnings = { note("x", { file = "a.sql", line = 1 }), note "y" }, notices = {} }
    local first = gitlab.document(ctx, run)
    run.warnings[1].line = 9
    local second = gitlab.document(ctx, run)
    assert.equal(first[1].fingerprint, second[1].fingerprint)
    assert.same({ 9, "migrations/meta/_journal.json" }, { second[1].location.lines.begin, second[2].location.path })
    ctx.script = "./p.lua"
    assert.equal("p.lua", gitlab.document(ctx, run)[2].location.path)
  end)
end)

describe("sink.groups", function()
  it("folds in each system's way, and says nothing elsewhere", function()
    local ctx, printed = fake_context { GITHUB_ACTIONS = "true" }
    groups.open(ctx.sink, ctx.config.environment, "step a\n::error::x")()
    assert.equal("::group::step a ::error::x\n::endgroup::\n", printed())
    ctx, printed = fake_context { GITLAB_CI = "true" }
    groups.open(ctx.sink, ctx.config.environment, "proxy log", true)()
    local name, other = printed():match("^\27%[0Ksection_start:%d+:([%w_.-]+)%[collapsed=true%]\r\27%[0Kproxy log\n"
      .. "\27%[0Ksection_end:%d+:([%w_.-]+)\r\27%[0K\n$")
    assert.is_truthy(name)
    assert.equal(name, other)
    ctx, printed = fake_context {}
    assert.is_nil(groups.open(ctx.sink, ctx.config.environment, "x"))
    assert.equal("", printed())
  end)
end)
