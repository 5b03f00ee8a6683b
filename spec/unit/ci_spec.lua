local fake = require "spec.support.core_fake"
fake.install()
local ci = require "migrator.ci"
local fs = require "migrator.core.fs"

describe("ci", function()
  local out, vars

  before_each(function()
    out, vars = {}, { GITHUB_ACTIONS = "true" }
    ci.use { write = function(text) out[#out + 1] = text end, getenv = function(name) return vars[name] end,
      time = function() return 7 end }
  end)

  after_each(function()
    ci.use { write = function(text) io.stdout:write(text) end, getenv = os.getenv, time = os.time }
  end)

  local function printed() return table.concat(out) end

  local function temp_file(name)
    local path = os.tmpname()
    vars[name] = path
    finally(function() os.remove(path) end)
    return path
  end

  it("escapes messages and properties, the percent sign first (R103)", function()
    ci.error { message = "50%\r\nb:c", file = "a,b:c.sql", line = 12, title = "", col = 3 }
    assert.equal("::error file=a%2Cb%3Ac.sql,line=12,col=3::50%25%0D%0Ab:c\n", printed())
  end)

  it("prints plain lines elsewhere", function()
    vars = {}
    ci.warning { message = "m", file = "f.sql", line = 2, title = "t" }
    ci.notice "n"
    ci.group "g"
    ci.endgroup()
    ci.output("x", true)
    ci.mask("secret-value")
    assert.equal("warning: f.sql:2: t: m\nnotice: n\n--- g\nx=true\n", printed())
  end)

  it("folds in GitLab's way", function()
    vars = { GITLAB_CI = "true" }
    ci.group "Run it"
    ci.endgroup()
    assert.equal("\27[0Ksection_start:7:run_it\r\27[0KRun it\n\27[0Ksection_end:7:run_it\r\27[0K\n", printed())
  end)

  it("masks each line, its percent-encoded form and what it is in base64 (R131)", function()
    ci.mask("p@1\nline2")
    local text = printed()
    assert.equal("::add-mask::p@1\n::add-mask::p%25401\n::add-mask::line2\n::add-mask::p%25401%250Aline2\n",
      text:sub(1, 84))
    assert.matches("\n::add-mask::bGluZTI=\n", text, 1, true)
    for line in text:gmatch("[^\n]+") do assert.matches("^::add%-mask::.", line) end
  end)

  it("writes outputs, several lines between delimiters (R125)", function()
    local path = temp_file "GITHUB_OUTPUT"
    ci.output("changed", true)
    ci.output("files", "a\nb=c")
    local text = fs.read(path)
    local first, delimiter, rest = text:match("^(changed=true\nfiles)<<(migrator_%x+)\n(.*)$")
    assert.equal("changed=true\nfiles", first)
    assert.equal("a\nb=c\n" .. delimiter .. "\n", rest)
    assert.equal("config", fake.raised(ci.output, "a b", "x").code)
    assert.equal("", printed())
  end)

  it("keeps the summary below the runner's limit", function()
    local path = temp_file "GITHUB_STEP_SUMMARY"
    ci.summary("# head")
    ci.summary(("é"):rep(600000))
    local text = fs.read(path)
    assert.is_true(#text <= 1024 * 1024)
    assert.is_truthy(text:find("^# head\né"))
    assert.is_truthy(text:find("cut off"))
    assert.is_truthy(utf8.len(text))
  end)

  it("switches commands off around foreign text, with a fresh token, and on again after an error", function()
    ci.foreign(function(write) write("::error::evil") end)
    local first = printed():match("^::stop%-commands::(%x+)\n::error::evil\n::%x+::\n$")
    assert.is_truthy(first)
    assert.is_truthy(printed():find("\n::" .. first .. "::\n", 1, true))
    out = {}
    assert.equal("boom", fake.raised(ci.foreign, function() error("boom", 0) end))
    local second = printed():match("^::stop%-commands::(%x+)\n::(%x+)::\n$")
    assert.is_truthy(second)
    assert.not_equal(first, second)
  end)
end)
