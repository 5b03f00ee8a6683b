local cjson = require "cjson"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local sink_module = require "migrator.sink"

local function collector(config)
  local sink = sink_module.new(config)
  sink.out = { stdout = "", stderr = "" }
  function sink:write(stream, text) self.out[stream] = self.out[stream] .. text end
  return sink
end

describe("sink.encode", function()
  it("leaves slashes alone, whatever stands before them", function()
    for _, text in ipairs { "a/b", "\\/", "\\\\/", "/", 'x"/\\"', "\\u002f", "tab\t/" } do
      local made = sink_module.encode { key = text, [text] = 1 }
      assert.same({ key = text, [text] = 1 }, cjson.decode(made))
    end
    assert.equal('{"f":"a/b.sql"}', sink_module.encode { f = "a/b.sql" })
    assert.equal('"\\\\/"', sink_module.encode "\\/")
  end)
end)

describe("sink.failure", function()
  it("names the deadline that passed", function()
    local err = errors.new("timeout", "the login: deadline passed")
    failure.name_deadline(err, clock.now() + 60, 60, "--deadline")
    assert.equal("the login: deadline passed", err.message)
    failure.name_deadline(err, clock.now(), 5, "--deadline")
    assert.equal("the login: the deadline of 5.00 s passed (--deadline)", err.message)
  end)

  it("writes a document for a command that wrote none, and only then", function()
    local sink, err = collector { json = true }, errors.new("connect", { message = "no", hint = "h" })
    failure.print(sink, err)
    assert.same({ error = { code = "connect", message = "no", hint = "h" } }, cjson.decode(sink.out.stdout))
    sink = collector { json = true }
    sink:document { failed = failure.document(err) }
    failure.print(sink, err)
    assert.equal(1, select(2, sink.out.stdout:gsub("\n", "")))
    sink = collector {}
    failure.print(sink, err)
    assert.equal("", sink.out.stdout)
  end)

  it("R103 annotates the file and line for GitHub, once", function()
    local config = { environment = { GITHUB_ACTIONS = "true" } }
    local err = errors.new("sql", { message = "no", sqlstate = "55P03", file = "m/a.sql", line = 3, migration = "a" })
    local sink = collector(config)
    failure.print(sink, err)
    assert.matches("\n::error file=m/a.sql,line=3,title=Migration a::no%0Arun again", sink.out.stderr, 1, true)
    sink = collector(config)
    rawset(err, "annotated", true)
    failure.print(sink, err)
    assert.is_nil(sink.out.stderr:find("::error", 1, true))
  end)

  it("aligns what is coloured", function()
    local sink = collector {}
    sink:table { { "a", "b" }, { "\27[32mlong\27[0m", "c" } }
    assert.equal("a     b\n\27[32mlong\27[0m  c\n", sink.out.stdout)
  end)
end)
