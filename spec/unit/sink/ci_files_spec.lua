-- action.yml and GitLab's template against what the two systems document of them.
local cjson = require "cjson"
local fs = require "migrator.core.fs"
local options = require "migrator.options"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"

local EXECUTABLE = tonumber("755", 8)
local ACTION, TEMPLATE = ".github/actions/migrate/action.yml", ".gitlab/migrate.yml"

---A file of YAML as a table, or nil where nothing here reads YAML.
local function read_yaml(path)
  local python = process.find "python3"
  local ran = python and process.run { cmd = { python, "-c",
    "import sys, json, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))", path } }
  if not ran or (ran.code ~= 0 and ran.stderr:find("No module named", 1, true)) then return nil end
  assert.equal(0, ran.code, ran.stderr)
  return cjson.decode(ran.stdout)
end

local function keys(map)
  local out = {}
  for key in pairs(map) do out[#out + 1] = key end
  table.sort(out)
  return out
end

describe(ACTION, function()
  local action = read_yaml(ACTION)
  local function check(name, fn)
    it(name, function()
      if not action then return pending "needs python3 with yaml" end
      fn()
    end)
  end

  check("has the keys of a composite action, and steps with the keys that one may have", function()
    assert.same({ "description", "inputs", "name", "outputs", "runs" }, keys(action))
    assert.same({ "steps", "using" }, keys(action.runs))
    assert.equal("composite", action.runs.using)
    local known = { name = true, id = true, ["if"] = true, shell = true, env = true, run = true, uses = true,
      with = true, ["working-directory"] = true, ["continue-on-error"] = true }
    for _, step in ipairs(action.runs.steps) do
      for key in pairs(step) do assert.is_true(known[key], key) end
      assert.is_true((step.run == nil) ~= (step.uses == nil))
      if step.run then assert.equal("bash", step.shell) end
    end
    for name, input in pairs(action.inputs) do
      assert.matches("^[%a_][%w_-]*$", name)
      assert.same({ "string", false, "string" }, { type(input.description), input.required, type(input.default) }, name)
    end
  end)

  check("uses every input that it declares, and no other", function()
    local used = {}
    for name in fs.read(ACTION):gmatch("inputs%.([%w_-]+)") do
      assert.is_table(action.inputs[name], name)
      used[name] = true
    end
    assert.same(keys(action.inputs), keys(used))
  end)

  check("R125 gives the outputs of the step that runs the script", function()
    assert.same({ "applied", "changed", "gate", "pending" }, keys(action.outputs))
    local ids = {}
    for _, step in ipairs(action.runs.steps) do ids[step.id or ""] = step end
    for name, output in pairs(action.outputs) do
      local id, key = output.value:match("^%${{ steps%.([%w_-]+)%.outputs%.([%w_-]+) }}$")
      assert.is_table(ids[id], name)
      assert.equal(name, key)
      assert.matches("MIGRATE_SCRIPT", ids[id].run, 1, true)
    end
  end)

  check("has no expression in the text of a script: what is in an input is no command", function()
    for _, step in ipairs(action.runs.steps) do
      assert.is_nil((step.run or ""):find("${{", 1, true))
      for name in (step.run or ""):gmatch("%$(MIGRATE_[%u_]+)") do assert.is_string(step.env[name], name) end
    end
  end)

  check("runs the script in its folder, with options that there are", function()
    local run = action.runs.steps[#action.runs.steps].run
    for flag in run:gmatch(" %-%-(%l[%l-]*)") do
      local option = assert(options.by_name[flag:gsub("-", "_")], flag)
      assert.is_true(options.applies(option, "run"))
    end
    local dir = tmp.dir {}
    local spy = tmp.write(dir .. "/spy", "#!/bin/sh\nprintf '%s\\n' \"$NODE_ENV\" \"$@\"\nexit 4\n", EXECUTABLE)
    local function go(more)
      local env = { MIGRATE_PROGRAM = spy, MIGRATE_SCRIPT = "a b;$(echo x).lua", MIGRATE_REPORT = "",
        MIGRATE_ENVIRONMENT = "", NODE_ENV = "test" }
      for key, value in pairs(more) do env[key] = value end
      local ran = process.run { cmd = { "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run }, env = env,
        cwd = dir }
      return { ran.code, ran.stdout, ran.stderr }
    end
    assert.same({ 4, "test\na b;$(echo x).lua\n", "" }, go {})
    assert.same({ 4, "production\n--report\nr 1.json\na b;$(echo x).lua\n", "" },
      go { MIGRATE_ENVIRONMENT = "production", MIGRATE_REPORT = "r 1.json" })
  end)
end)

describe(TEMPLATE, function()
  local found = read_yaml(TEMPLATE)
  local function check(name, fn)
    it(name, function()
      if not found then return pending "needs python3 with yaml" end
      fn()
    end)
  end

  check("is one hidden job with keys that a job may have", function()
    assert.same({ ".migrate" }, keys(found))
    assert.same({ "artifacts", "interruptible", "resource_group", "retry", "script", "timeout", "variables" },
      keys(found[".migrate"]))
    for name, value in pairs(found[".migrate"].variables) do
      assert.matches("^[%u_]+$", name)
      assert.is_string(value)
    end
  end)

  check("keeps the reports whatever became of the job, where steps.report writes them", function()
    local artifacts = found[".migrate"].artifacts
    assert.same({ "always", "junit", "codequality" }, { artifacts.when, keys(artifacts.reports)[2],
      keys(artifacts.reports)[1] })
    assert.equal("$MIGRATE_DIRECTORY/junit.xml", artifacts.reports.junit)
    assert.equal("$MIGRATE_DIRECTORY/gl-code-quality-report.json", artifacts.reports.codequality)
    assert.matches(artifacts.paths[1], found[".migrate"].script[2], 1, true)
  end)

  check("is not cut off, and runs one at a time", function()
    assert.same({ false, "migrate", 0 }, { found[".migrate"].interruptible, found[".migrate"].resource_group,
      found[".migrate"].retry })
  end)

  check("R14 runs the script, whose exit code is the job's", function()
    local job = found[".migrate"]
    local dir = tmp.dir { ["sub/pipeline.lua"] = "" }
    tmp.write(dir .. "/bin/migrator", "#!/bin/sh\nprintf '%s\\n' \"$PWD\" \"$NODE_ENV\" \"$@\"\nexit 5\n", EXECUTABLE)
    local env = { PATH = dir .. "/bin:/usr/bin:/bin", CI_PROJECT_DIR = dir }
    for name, value in pairs(job.variables) do env[name] = value end
    env.MIGRATE_DIRECTORY = "sub"
    local ran = process.run { cmd = { "bash", "-eo", "pipefail", "-c", table.concat(job.script, "\n") }, env = env,
      cwd = dir }
    assert.same({ 5, dir .. "/sub\nproduction\n--report\n" .. dir .. "/migrate-report.json\npipeline.lua\n" },
      { ran.code, ran.stdout }, ran.stderr)
  end)
end)
