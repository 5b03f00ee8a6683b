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
    opens("no base commit", { head = second })
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
    for name, value in pairs { CI = "true", TF_BUILD = "True", JENKINS_URL = "http://ci" } do
      vars = { [name] = value }
      opens("this CI system does not say: give base", {})
    end
  end)

  it("compares events of GitHub's that stand for a push or a pull request, and opens for all others (R121 R122)",
    function()
      local pull = { pull_request = { base = { sha = first }, head = { sha = second } } }
      for _, name in ipairs { "pull_request", "pull_request_target", "pull_request_review",
        "pull_request_review_comment" } do
        event(name, pull)
        assert.same({ "docs/b.md" }, detect { paths = paths }.files)
      end
      for name, why in pairs { workflow_run = "after another workflow", repository_dispatch = "from outside",
        workflow_dispatch = "a manual run", schedule = "a scheduled run", release = '"release" is neither',
        issue_comment = '"issue_comment" is neither', deployment = '"deployment" is neither' } do
        event(name, { before = second, after = second, workflow_run = { head_sha = second } })
        local got = detect { paths = paths }
        assert.same({ true, true }, { got.changed, got.is_open })
        assert.matches(why, got.reason, 1, true)
      end
    end)

  it("opens for what an event of GitHub's lacks or garbles (R122)", function()
    local function reason(name, payload)
      event(name, payload)
      local got = detect { paths = paths }
      assert.is_true(got.changed)
      return got.reason
    end
    local gone = ("c"):rep(40)
    assert.equal("the branch was deleted", reason("push", { before = first, after = ZERO }))
    assert.matches("^the tag is new", reason("push", { ref = "refs/tags/v1", before = ZERO, after = second }))
    assert.equal("the base commit cccccccccccc is not in this clone (it was pushed with force)",
      reason("push", { before = gone, after = second, forced = true }))
    assert.equal("the event does not name commits", reason("push", { before = "--output=/tmp/x", after = second }))
    assert.matches("no base commit", reason("push", { before = cjson.null, after = second }))
    assert.matches("no base commit", reason("pull_request", { pull_request = 7 }))
    assert.matches("no base commit", reason("merge_group", {}))
    assert.matches("is not in this clone",
      reason("pull_request_target", { pull_request = { base = { sha = first }, head = { sha = gone } } }))
    assert.same({ changed = true, files = { "docs/b.md" }, base = first, head = second,
      reason = "1 of 4 changed files matches" }, (function()
      event("pull_request", { pull_request = { base = { sha = first }, head = { sha = gone } } })
      return detect { paths = paths }
    end)())
    fs.write(vars.GITHUB_EVENT_PATH, "{ not JSON")
    assert.equal("the event file of the CI run is not JSON", detect({ paths = paths }).reason)
    vars.GITHUB_EVENT_PATH = dir .. "/none.json"
    assert.matches("no base commit", detect({ paths = paths }).reason)
  end)

  it("compares what a forced push replaced by what it put there", function()
    shell("git checkout -q -b other " .. first)
    put("src/seeds/b.sql", "1")
    local rewritten = commit("again")
    event("push", { before = second, after = rewritten, forced = true })
    assert.same({ "docs/b.md", "src/seeds/b.sql" }, detect { paths = { "docs/**", "src/seeds/**" } }.files)
  end)

  it("knows GitLab's pipelines of branches, tags, merge requests and schedules (R121 R122)", function()
    local function gitlab(source, more)
      vars = { GITLAB_CI = "true", CI_PIPELINE_SOURCE = source, CI_COMMIT_SHA = second, CI_COMMIT_BEFORE_SHA = ZERO }
      for name, value in pairs(more or {}) do vars[name] = value end
      return detect { paths = paths }
    end
    assert.same({ "docs/b.md" }, gitlab("push", { CI_COMMIT_BEFORE_SHA = first }).files)
    assert.is_false(gitlab("push", { CI_COMMIT_BEFORE_SHA = second }).changed)
    assert.same({ "docs/b.md" }, gitlab("merge_request_event", { CI_MERGE_REQUEST_DIFF_BASE_SHA = first }).files)
    assert.same({ "docs/b.md" }, gitlab("merge_request_event", { CI_MERGE_REQUEST_TARGET_BRANCH_SHA = first }).files)
    assert.same({ "docs/b.md" }, gitlab("external_pull_request_event",
      { CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA = first }).files)
    for source, why in pairs { push = "the branch is new", merge_request_event = "no base commit",
      schedule = "a scheduled run", web = "a manual run", api = "from outside", trigger = "from outside",
      pipeline = "another project", parent_pipeline = "a child of another pipeline",
      ondemand_dast_scan = "neither a push nor a merge request" } do
      local got = gitlab(source)
      assert.is_true(got.changed and got.is_open)
      assert.matches(why, got.reason, 1, true)
    end
    assert.matches("the tag is new", gitlab("push", { CI_COMMIT_TAG = "v1" }).reason, 1, true)
  end)

  it("compares without a CI system from the upstream branch, else from HEAD~1, with what is not committed", function()
    local got = detect { paths = paths }
    assert.same({ "docs/b.md" }, got.files)
    assert.equal("1 of 4 changed files matches since HEAD~1", got.reason)
    assert.is_false(detect({ paths = { "src/seeds/**" } }).changed)
    put("src/seeds/new\nfile.sql", "1")
    put("src/seeds/a.sql", "2")
    assert.same({ "src/seeds/a.sql", "src/seeds/new\nfile.sql" }, detect { paths = { "src/seeds/**" } }.files)
    shell("git checkout -q -- . && git clean -fdq && git branch upstream " .. first
      .. " && git branch -q --set-upstream-to=upstream")
    put("src/schema/c.ts", "1")
    commit("three")
    got = detect { paths = paths }
    assert.same({ "docs/b.md" }, got.files)
    assert.equal(first, got.base)
    assert.equal("1 of 5 changed files matches since the upstream branch", got.reason)
    shell("git branch -f upstream HEAD")
    assert.is_false(detect({ paths = paths }).changed)
    shell("git checkout -q --orphan lone")
    local none = detect { paths = { "**" } }
    assert.same({ true, "there is no commit yet" }, { none.changed, none.reason })
    commit("alone")
    assert.equal("there is no earlier commit in this clone", detect({ paths = paths }).reason)
  end)

  it("counts a deleted file, a change of type and more files than GitHub lists", function()
    shell("git rm -q src/seeds/a.sql && rm docs/a.md && ln -s b.md docs/a.md && git add -A")
    local list, blob = {}, shell("echo 1 | git hash-object -w --stdin")
    for i = 1, 3100 do list[i] = ("100644 %s\tmany/%04d.txt\n"):format(blob, i) end
    list[#list + 1] = ("100644 %s\tmany/zzz.sql\n"):format(blob)
    fs.write(dir .. "/.git/list", table.concat(list))
    shell "git update-index --index-info < .git/list"
    shell "git -c user.name=t -c user.email=t@example.org commit -q -m three"
    local third = shell("git rev-parse HEAD")
    event("push", { before = second, after = third })
    assert.same({ "src/seeds/a.sql" }, detect { paths = { "src/seeds/**" } }.files)
    assert.same({ "docs/a.md" }, detect({ paths = paths }).files)
    assert.same({ "many/zzz.sql" }, detect({ paths = { "**/zzz.sql" } }).files)
  end)

  it("counts a submodule that moved for every pattern that may mean a file in it", function()
    local sha = ("d"):rep(40)
    shell("git update-index --add --cacheinfo 160000," .. sha .. ",src/vendor")
    put(".gitmodules", '[submodule "v"]\n\tpath = src/vendor\n\turl = ../v\n\tignore = all\n')
    shell("git add .gitmodules && git -c user.name=t -c user.email=t@example.org commit -q -m sub")
    local with = shell("git rev-parse HEAD")
    shell("git update-index --cacheinfo 160000," .. ("e"):rep(40) .. ",src/vendor")
    shell("git -c user.name=t -c user.email=t@example.org commit -q -m moved")
    event("push", { before = with, after = shell("git rev-parse HEAD") })
    for pattern, hit in pairs { ["src/vendor"] = true, ["src/vendor/**"] = true, ["src/vendor/db/*.sql"] = true,
      ["src/**/*.sql"] = true, ["**/*.sql"] = true, ["src/seeds/**"] = false, ["docs/*.md"] = false,
      ["src/*/a.sql"] = true } do
      assert.equal(hit, detect({ paths = { pattern } }).changed, pattern)
    end
    assert.is_false(detect({ paths = { "**/*.sql", "!src/vendor/**" } }).changed)
  end)

  it("fetches into a full clone without cutting its history, and deepens a shallow one to the branch point", function()
    local origin = dir
    shell("git checkout -q -b topic " .. first)
    put("src/seeds/new.sql", "1")
    local head = commit("topic")
    shell("git checkout -q main")
    put("docs/c.md", "1")
    local tip = commit("tip")
    local pull = { pull_request = { base = { sha = tip }, head = { sha = head } } }
    dir = origin .. "/full"
    os.execute("git clone -q --single-branch --branch main file://" .. origin .. " " .. quote(dir))
    event("pull_request_target", pull)
    assert.is_true(detect({ paths = paths }).is_open)
    assert.is_false(detect({ paths = paths, fetch = true }).changed)
    assert.equal("false", shell("git rev-parse --is-shallow-repository"))
    dir = origin .. "/shallow"
    os.execute("git clone -q --depth=1 --branch topic file://" .. origin .. " " .. quote(dir))
    event("pull_request", pull)
    local got = detect { paths = { "docs/**", "src/seeds/**" }, fetch = true }
    assert.same({ first, "src/seeds/new.sql" }, { got.base, table.concat(got.files, " ") })
    dir = origin
  end)

  it("does not lean on settings of user and repository", function()
    shell("git config diff.relative true && git config diff.renames copies && git config core.quotepath true "
      .. "&& git config status.renames true && git config status.relativePaths true && git config diff.noprefix true")
    shell("mkdir -p other && git mv docs/a.md other/a.md")
    local third = commit("three")
    event("push", { before = second, after = third })
    assert.same({ "docs/a.md" }, detect({ paths = paths, cwd = dir .. "/src" }).files)
  end)

  it("R121 takes ./ for the working directory, whatever is in its name", function()
    put("app [1]/seeds/b.sql", "1")
    commit("more")
    assert.same({ "app [1]/seeds/b.sql" }, detect({ paths = { "./seeds/**" }, cwd = dir .. "/app [1]" }).files)
    assert.has_error(function() detect { paths = { "seeds/**" }, cwd = dir .. "/app [1]" } end)
    assert.same({}, detect({ paths = { "./**", "!./seeds/**" }, cwd = dir .. "/app [1]" }).files)
  end)

  it("R124 knows files that were never added, but for a CI system", function()
    put("fresh/a.sql", "1")
    assert.same({ "fresh/a.sql" }, detect({ paths = { "fresh/**" } }).files)
    event("push", { before = first, after = second })
    vars.GITHUB_ACTIONS = "true"
    assert.has_error(function() detect { paths = { "fresh/**" } } end)
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
