local cjson = require "cjson"
local fake = require "spec.support.core_fake"
fake.install()
local changes = require "migrator.changes"
local fs = require "migrator.core.fs"

local ZERO = ("0"):rep(40)

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

describe("changes.detect", function()
  local dir, first, second, vars

  local function shell(command)
    local pipe = assert(io.popen("cd " .. quote(dir) .. " && { " .. command .. "; } 2>&1"))
    local text = pipe:read("a")
    assert(pipe:close(), text)
    return (text:gsub("%s+$", ""))
  end

  local function put(name, text)
    local folder = name:match("^(.*)/")
    if folder then shell("mkdir -p -- " .. quote(folder)) end
    fs.write(dir .. "/" .. name, text)
  end

  local function commit(message)
    local who = "-c user.name=t -c user.email=t@example.org -c commit.gpgsign=false"
    shell("git add -A && git " .. who .. " commit -q -m " .. message)
    return shell("git rev-parse HEAD")
  end

  local function detect(opts)
    opts.cwd, opts.getenv = opts.cwd or dir, function(name) return vars[name] end
    return changes.detect(opts)
  end

  local function event(name, payload)
    local path = dir .. "/.git/event.json"
    fs.write(path, cjson.encode(payload))
    vars = { GITHUB_EVENT_NAME = name, GITHUB_EVENT_PATH = path }
  end

  before_each(function()
    vars = {}
    dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. quote(dir))
    shell("git init -q -b main")
    put("src/seeds/a.sql", "1")
    put("src/schema/a.ts", "1")
    put("docs/a.md", "1")
    first = commit("one")
    put("src/schema/odd\nname.sql", "1")
    put('src/schema/"quoted" é.sql', "1")
    put("src/schema/-dash.sql", "1")
    put("docs/b.md", "1")
    second = commit("two")
  end)

  after_each(function() os.execute("rm -rf -- " .. quote(dir)) end)

  it("finds files of unusual names (R121)", function()
    local got = detect { paths = { "src/schema/**" }, base = first, head = second }
    assert.is_true(got.changed)
    assert.same({ 'src/schema/"quoted" é.sql', "src/schema/-dash.sql", "src/schema/odd\nname.sql" }, got.files)
    assert.equal("3 of 4 changed files match", got.reason)
    assert.equal(first, got.base)
    assert.equal(second, got.head)
  end)

  it("says unchanged when nothing that matters changed, and lets ! exclude", function()
    assert.is_false(detect { paths = { "src/seeds/**" }, base = first }.changed)
    local got = detect { paths = { "docs/**", "src/schema/**", "!**/*.sql", "!docs/b*" }, base = first }
    assert.is_false(got.changed)
    assert.equal("0 of 4 changed files match", got.reason)
  end)

  it("counts a renamed file under its old name too", function()
    shell("mkdir other && git mv src/seeds/a.sql other/a.sql")
    local third = commit("three")
    assert.same({ "src/seeds/a.sql" }, detect { paths = { "src/seeds/**" }, base = second, head = third }.files)
  end)

  it("raises config for a pattern that matches nothing and names the folder meant (R124)", function()
    local err = fake.raised(detect, { paths = { "src/schema/**", "src/seed/**" }, base = first })
    assert.equal("config", err.code)
    assert.is_truthy(err.message:find('"src/seed/**"', 1, true))
    assert.equal('did you mean the folder "src/seeds"?', err.hint)
  end)

  local paths = { "docs/**" }

  it("reads push, pull request and merge group events", function()
    event("push", { before = first, after = second })
    assert.same({ "docs/b.md" }, detect { paths = paths }.files)
    event("pull_request", { pull_request = { base = { sha = first }, head = { sha = ("a"):rep(40) } } })
    assert.same({ "docs/b.md" }, detect { paths = paths }.files)
    event("merge_group", { merge_group = { base_sha = second, head_sha = second } })
    assert.is_false(detect { paths = paths }.changed)
    vars = { GITLAB_CI = "true", CI_PIPELINE_SOURCE = "merge_request_event", CI_MERGE_REQUEST_DIFF_BASE_SHA = first,
      CI_COMMIT_BEFORE_SHA = ZERO, CI_COMMIT_SHA = second }
    assert.same({ "docs/b.md" }, detect { paths = paths }.files)
  end)

  it("compares a pull request from where it branched off", function()
    shell("git checkout -q -b topic " .. first)
    put("src/seeds/new.sql", "1")
    local head = commit("topic")
    event("pull_request", { pull_request = { base = { sha = second }, head = { sha = head } } })
    assert.is_false(detect { paths = paths }.changed)
    assert.is_true(detect { paths = { "src/seeds/**" } }.changed)
  end)

  it("fails open and says why (R122)", function()
    local function opens(pattern, opts)
      opts.paths = paths
      local got = detect(opts)
      assert.is_true(got.changed)
      assert.is_truthy(got.reason:find(pattern), got.reason)
    end
    opens("no base commit", {})
    opens("branch is new", { base = ZERO })
    opens("is not in this clone", { base = ("b"):rep(40) })
    opens("is not in this clone", { base = first, head = ("b"):rep(40) })
    opens("scheduled", { event = "schedule" })
    opens("manual", { event = "workflow_dispatch" })
    opens("neither", { event = "release" })
    event("push", { before = ZERO, after = second })
    opens("branch is new", {})
    event("push", { after = second })
    opens("no base commit", {})
    vars = { GITLAB_CI = "true", CI_PIPELINE_SOURCE = "schedule", CI_COMMIT_BEFORE_SHA = first }
    opens("scheduled", {})
    opens("no git repository", { cwd = "/" })
  end)

  it("fails open when git cannot be run (R122)", function()
    local real = package.loaded["migrator.core.process"]
    finally(function() package.loaded["migrator.core.process"] = real end)
    package.loaded["migrator.core.process"] = { run = function() error("no such file", 0) end }
    local got = detect { paths = paths, base = first }
    assert.is_true(got.changed)
    assert.equal("no git repository to ask: git cannot be run: no such file", got.reason)
  end)

  it("sees a shallow clone, and fetches the base only when told (R122)", function()
    local origin = dir
    dir = origin .. "/shallow"
    os.execute("git -c protocol.file.allow=always clone -q --depth=1 file://" .. origin .. " " .. quote(dir))
    local got = detect { paths = paths, base = first }
    assert.is_truthy(got.reason:find("not in this shallow clone", 1, true), got.reason)
    assert.is_true(got.changed)
    assert.same({ "docs/b.md" }, detect({ paths = paths, base = first, fetch = true }).files)
    dir = origin
  end)

  it("refuses a base that git could take for an option, and unknown options", function()
    assert.equal("config", fake.raised(detect, { paths = paths, base = "--output=/tmp/x" }).code)
    assert.equal('did you mean "paths"?', fake.raised(detect, { path = paths }).hint)
  end)
end)
