local mask = require "migrator.lib.mask"

describe("mask.apply", function()
  before_each(mask.clear)
  after_each(mask.clear)

  it("hides a secret as it is, percent-encoded, decoded, in base64 and in JSON (R131)", function()
    mask.add('s3cr@t/"x')
    assert.equal("a *** b", mask.apply('a s3cr@t/"x b'))
    assert.equal("u:***@h", mask.apply("u:s3cr%40t%2F%22x@h"))
    assert.equal("u:***@h", mask.apply("u:s3cr%40t%2f%22x@h"))
    assert.equal("Basic ***", mask.apply("Basic czNjckB0LyJ4"))
    assert.equal('{"p":"***"}', mask.apply('{"p":"s3cr@t/\\"x"}'))
    mask.add("pass%20word")
    assert.equal("***", mask.apply("pass word"))
  end)

  it("hides each line of a key, but no short one", function()
    mask.add("-----BEGIN KEY-----\r\nabcdefgh\n}\n")
    assert.equal("x *** }", mask.apply("x abcdefgh }"))
  end)

  it("replaces the longest first", function()
    mask.add("secret")
    mask.add("secret-and-more")
    assert.equal("***", mask.apply("secret-and-more"))
  end)

  it("takes secrets as text, not as patterns", function()
    mask.add("a.b*c%d")
    assert.equal("aXbbcdd", mask.apply("aXbbcdd"))
    assert.equal("***", mask.apply("a.b*c%d"))
  end)

  it("pads base64 rightly and leaves the rest alone", function()
    mask.add("1234567")
    assert.equal("***", mask.apply("MTIzNDU2Nw=="))
    assert.equal("nothing here", mask.apply("nothing here"))
    mask.add("")
    mask.add(nil)
    mask.add("abc")
    assert.equal("abc", mask.apply("abc"))
  end)

  it("hides a short secret where it is a word of its own, and one that is shorter never", function()
    mask.add("test")
    assert.equal("*** passed, testing u:***@h %0A*** \\n***",
      mask.apply("test passed, testing u:test@h %0Atest \\ntest"))
    mask.add("!xz?")
    assert.equal("a***b", mask.apply("a!xz?b"))
    mask.add("abc")
    mask.add("     ")
    assert.equal("abc        ", mask.apply("abc        "))
  end)

  it("hides a piece of a long one, as servers cut what they quote", function()
    mask.add("a0Afx9K2mQ7rT5wZ1bN8cD4eF6gH3jL0kP2vX5yB7nM9")
    assert.equal('near "***…', mask.apply('near "a0Afx9K2mQ7rT5wZ1bN8cD4…'))
    assert.equal('…***" is none', mask.apply('…rT5wZ1bN8cD4eF6gH3jL0kP2vX5yB7nM9" is none'))
    assert.equal("a0Afx9K2mQ7", mask.apply("a0Afx9K2mQ7"))
    mask.add("postgresql://app@db.example.org:5432/production?application_name=migrator")
    assert.equal("db.example.org postgresql://app@", mask.apply("db.example.org postgresql://app@"))
  end)

  it("hides what SQL, conninfo, shells, HTML, Markdown, Go, Python and the runner make of it", function()
    mask.add("pé's|w_r<d%/ x")
    for _, text in ipairs { "pé''s|w_r<d%/ x", "pé\\'s|w_r<d%/ x", "pé'\\''s|w_r<d%/ x", "pé&apos;s|w_r&lt;d%/ x",
      "pé&#39;s|w_r&lt;d%/ x", "pé's\\|w\\_r\\<d%/ x", "pé's|w_r\\u003cd%/ x", "p\\u00e9's|w_r<d%/ x",
      "pé's|w_r<d%\\/ x", "p%C3%A9%27s%7Cw_r%3Cd%25%2F+x", "pé's|w_r<d%25/ x",
      "70c3a927737c775f723c64252f2078" } do
      assert.equal("[***]", mask.apply("[" .. text .. "]"))
    end
  end)
end)
