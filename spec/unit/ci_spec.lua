local fake = require "spec.support.core_fake"
fake.install()
local ci = require "migrator.ci"
local actions = require "spec.support.actions"
local fs = require "migrator.core.fs"
local mask = require "migrator.lib.mask"

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

  it("R131 masks each line and each form of it, none that is too short to hide", function()
    ci.mask("p@1\nline2-x")
    local text = printed()
    for _, form in ipairs { "p%25401%250Aline2-x", "line2-x", "bGluZTIteA==", "p@1\\nline2-x" } do
      assert.truthy(text:find("::add-mask::" .. form .. "\n", 1, true), form)
    end
    for line in text:gmatch("[^\n]+") do assert.truthy(line:find("^::add%-mask::....")) end
    out = {}
    ci.mask("abc")
    assert.equal("", printed())
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

  -- All the ways in which the runner reads a command, and bytes that are no text.
  local HOSTILE = { "::set-output name=a::b", " \t::debug::x", "a\n::debug::x", "a\r::debug::x", "a\r\n \v\f::debug::x",
    "\u{A0}::debug::x", "\u{2003}\u{3000}::debug::x", "\u{85}::debug::x", "a\n\u{1680}\u{202F}\u{205F}::debug::x",
    "x ##[debug]y", "##[set-env name=a;]b", "##[##[debug]x", "::x::##[debug]y", "::\n::debug::x", "\n\n::debug::x",
    "::stop-commands::t", "::DEBUG::x", "\0\n::debug::x", "\255\n::debug::\254", ("y"):rep(65536) .. "\n::debug::x",
    "%0A::debug::x\n%0D::debug::x", ":::debug::x", "::debug ::x" }

  it("defuses text of others: the runner finds no command in it, and people can still read it", function()
    local obeyed = 0
    for _, text in ipairs(HOSTILE) do
      if #actions.read(text) > 0 then obeyed = obeyed + 1 end
      local said = ci.defuse(text)
      assert.same({}, (actions.read(said)), ("%q"):format(said:sub(1, 60)))
      assert.equal((text:gsub("[%s:]", ""):gsub("##%[", "")), (said:gsub("[%s:]", ""):gsub("##%[", "")))
      assert.same({}, (actions.read("error: " .. ci.defuse(text))))
    end
    assert.is_true(obeyed > 17)
    assert.equal("select 1::int, a ## b", ci.defuse("select 1::int, a ## b"))
    vars = {}
    assert.equal("::debug::x ##[debug]", ci.defuse("::debug::x ##[debug]"))
  end)

  it("R103 says hostile text in commands of its own, which the runner reads as they were meant", function()
    for _, text in ipairs(HOSTILE) do
      out = {}
      ci.error { message = text, title = text, file = "a,b:c%.sql", line = 3 }
      ci.group(text)
      ci.endgroup()
      ci.foreign(function(write) write(text) end)
      ci.notice "last"
      local commands, _, stopped = actions.read(printed())
      local names = {}
      for i, command in ipairs(commands) do names[i] = command.name end
      assert.same({ "error", "group", "endgroup", "stop-commands", "notice" }, names)
      assert.equal(text, commands[1].data)
      assert.same({ title = text, file = "a,b:c%.sql", line = "3" }, commands[1].properties)
      assert.is_false(stopped)
    end
  end)

  it("R125 writes outputs that the runner reads as they were given, whatever is in them", function()
    local path = temp_file "GITHUB_OUTPUT"
    for i, text in ipairs(HOSTILE) do ci.output("o" .. i, text) end
    ci.output("here", "a<<b\nc=d\nevil<<x\n")
    ci.output("one", "a<<b=c")
    ci.output("cr", "a\rb")
    local found = actions.outputs(fs.read(path))
    for i, text in ipairs(HOSTILE) do assert.equal(text, found["o" .. i]) end
    assert.same({ "a<<b\nc=d\nevil<<x\n", "a<<b=c", "a\rb" }, { found.here, found.one, found.cr })
  end)

  it("R131 hides secrets in all it says: before it escapes them, and in the text of others", function()
    finally(mask.clear)
    mask.add "s3cret%:x,y"
    local output, summary = temp_file "GITHUB_OUTPUT", temp_file "GITHUB_STEP_SUMMARY"
    ci.error { message = "m s3cret%:x,y", title = "s3cret%:x,y", file = "s3cret%:x,y" }
    ci.group "s3cret%:x,y"
    ci.foreign(function(write) write "s3cret%:x,y" end)
    ci.output("o", "s3cret%:x,y")
    ci.summary "s3cret%:x,y"
    local all = printed() .. fs.read(output) .. fs.read(summary)
    assert.not_matches("s3cret", all, 1, true)
    assert.matches("::error file=***,title=***::m ***\n", all, 1, true)
    assert.matches("o=***\n", all, 1, true)
  end)
end)
