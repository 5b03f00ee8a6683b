local cli = require "migrator.cli"

-- argparse for the whole line: an option that it knows and the quick reader does not makes the latter give up.
local function by_argparse(words)
  local parser = cli.parser(words[1])
  parser.error = function(_, message) error({ complaint = message }, 0) end
  local ok, result = pcall(parser.parse, parser, words)
  return ok and result or nil
end

describe("cli.parse", function()
  local LINES = {
    { "migrate" }, { "migrate", "--dir", "x" }, { "migrate", "--dir=x", "--url=postgres://h/d?a=b" },
    { "migrate", "--tx", "file", "--json", "--quiet" }, { "status", "--check", "--all" }, { "plan", "--sql" },
    { "verify", "--policy", "count" }, { "migrate", "--lock-timeout", "5s", "--rehearse" },
    { "doctor", "--verbose" },
    { "reset", "--drop", "--confirm", "drop it" }, { "migrate", "--no-color" }, { "run", "--unsafe" },
  }
  for _, words in ipairs(LINES) do
    it("reads `" .. table.concat(words, " ") .. "` as argparse does", function()
      local wanted, found = by_argparse(words), cli.parse(words)
      assert.equal(wanted.command, found.command)
      wanted[words[1]] = nil -- argparse notes the command's name, too; nobody asks for it
      for name, value in pairs(wanted) do assert.same(value, found.args[name]) end
      for name, value in pairs(found.args) do assert.same(wanted[name], value) end
    end)
  end

  local WRONG = {
    { "migrate", "--dir" }, { "migrate", "--dir", "--json" }, { "migrate", "--tx", "some" },
    { "migrate", "--json=yes" },
    { "migrate", "--json", "--json" }, { "migrate", "--dir", "a", "--dir", "b" }, { "migrate", "--lock_timeout", "5" },
    { "migrate", "--nothing" }, { "migrate", "word" }, { "status", "--confirm", "x" }, { "migrate", "--hosts", "x" },
  }
  for _, words in ipairs(WRONG) do
    it("takes `" .. table.concat(words, " ") .. "` no further than argparse does", function()
      local wanted = by_argparse(words)
      local ok, found = pcall(cli.parse, words)
      assert.equal(wanted ~= nil, ok)
      if ok then assert.same(wanted.dir, found.args.dir) end
    end)
  end

  it("takes the command's options before its name as well", function()
    assert.equal("x", cli.parse({ "--dir", "x", "migrate" }).given.dir)
  end)
end)
