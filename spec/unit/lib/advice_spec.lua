local advice = require "migrator.lib.advice"
local errors = require "migrator.error"
local policy = require "migrator.policy"

local function find(sqlstate, message, fields)
  local err = errors.new("sql", { message = message or "it failed", sqlstate = sqlstate })
  return advice.find(errors.add(err, fields or {}))
end

describe("lib.advice.find", function()
  after_each(function()
    for state in pairs(policy.advice) do policy.advice[state] = nil end
  end)

  it("R134 says what to do, by SQLSTATE", function()
    for state, words in pairs { ["55P03"] = "--lock-timeout", ["53300"] = "slot", ["42501"] = "grant",
      ["40P01"] = "run again", ["25006"] = "primary", ["28P01"] = "password", ["3D000"] = "create the database" } do
      assert.truthy(find(state):find(words, 1, true), state)
    end
  end)

  it("R134 reads the message where a SQLSTATE means several things", function()
    assert.matches("--statement-timeout", find("57014", "canceling statement due to statement timeout"), 1, true)
    assert.matches("cancelled", find("57014", "canceling statement due to user request"))
    assert.matches("quote it", find("08P01", "bind message supplies 0 parameters, but prepared statement requires 1"))
    assert.matches("--tx file", find("53200", "out of shared memory"), 1, true)
    assert.matches("package", find("0A000", 'extension "vector" is not available'))
    assert.matches("create the role", find("28000", 'role "x" does not exist'))
    assert.matches("pg_hba", find("28000", "no pg_hba.conf entry for host"))
    for _, state in ipairs { "57014", "08P01", "53200", "0A000", "58P01", "25001" } do
      assert.is_nil(find(state, "something else"), state)
    end
  end)

  it("R134 knows whether it was a migration that failed", function()
    assert.is_nil(find("42P07"))
    assert.matches("migrator baseline 0003_x", find("42P07", nil, { migration = "0003_x" }), 1, true)
    assert.is_nil(find("42P07", nil, { migration = "0003_x", resume = { statement = 2, of = 3 } }))
    assert.matches("db.script", find("42601", "cannot insert multiple commands into a prepared statement"), 1, true)
    assert.matches("search_path", find("42P01", nil, { migration = "0003_x" }))
    assert.matches("migrator status", find("42P01"))
  end)

  it("leaves the error's own hint, and says nothing about what it does not know", function()
    assert.equal("mine", find("55P03", nil, { hint = "mine" }))
    assert.is_nil(find("XX000"))
    assert.is_nil(advice.find(errors.new("config", "no")))
    assert.is_nil(advice.find("a string"))
  end)

  it("takes what a script puts into policy.advice, and survives a faulty piece", function()
    policy.advice["55P03"] = "call the owner"
    policy.advice["XX000"] = function(err) return "about " .. err.message end
    policy.advice["XX001"] = function() error "broken" end
    assert.equal("call the owner", find("55P03"))
    assert.equal("about it failed", find("XX000"))
    assert.is_nil(find("XX001"))
  end)
end)
