local env = require "migrator.env"

describe("env.parse", function()
  it("reads plain, exported, quoted and commented lines", function()
    local values, names = env.parse(table.concat({
      "\239\187\191# head",
      "A=1", "export B = two words # note", "C='a # b $X'", 'D="x\\ny \\"q\\" \\$z"', "E=", "F=`it's`",
      "G=a#b", 'H="one', 'two"', "A=2 ", "I=postgres://u:p%40@h/d?x=1",
    }, "\r\n"))
    assert.same({ A = "2", B = "two words", C = "a # b $X", D = 'x\ny "q" $z', E = "", F = "it's", G = "a#b",
      H = "one\ntwo", I = "postgres://u:p%40@h/d?x=1" }, values)
    assert.same({ "A", "B", "C", "D", "E", "F", "G", "H", "I" }, names)
  end)

  it("takes an empty file", function() assert.same({}, (env.parse(""))) end)

  it("names the line of a bad one and never its value", function()
    local bad = { ["A=1\n\nnonsense secret"] = 3, ['A="x\ny"\n1B=2'] = 3, ['A=1\nB="secret'] = 2, ['A="x" secret'] = 1 }
    for text, line in pairs(bad) do
      local ok, err = pcall(env.parse, text, ".env")
      assert.is_false(ok)
      assert.equal("config", err.code)
      assert.equal(".env", err.file)
      assert.equal(line, err.line)
      assert.is_nil(err.message:find("secret", 1, true))
    end
  end)
end)

describe("env.load_if_exists", function()
  local fs = { find = function(path) return path == ".env" and { type = "file" } or nil end,
    read = function() return "A=file\nB=file\nC=file" end }

  it("never overrides the real environment, not even an empty variable", function()
    local real = { A = "real", B = "" }
    local got = env.load_if_exists(".env", { fs = fs, getenv = function(name) return real[name] end })
    assert.same({ C = "file" }, got)
  end)

  it("answers nil when there is no file", function()
    assert.is_nil(env.load_if_exists("absent", { fs = fs }))
  end)
end)
