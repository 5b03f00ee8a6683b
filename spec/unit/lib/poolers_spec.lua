local poolers = require "migrator.lib.poolers"
local url = require "migrator.lib.url"
local raised = require("spec.support.core_fake").raised

local function look(text)
  local words, info = url.conninfo(text)
  local at = poolers.addresses(words, info.ignored)[1]
  return poolers.find(at), at
end

local REF = "abcdefghijklmnopqrst"
local SHARED = "aws-0-eu-central-1.pooler.supabase.com"

describe("poolers.find", function()
  local MODES = {
    [SHARED .. ":6543"] = "transaction", [SHARED .. ":5432"] = "session", [SHARED] = "session",
    ["db." .. REF .. ".supabase.co:6543"] = "transaction", ["db." .. REF .. ".supabase.co:5432"] = "none",
    ["ep-cool-rain-123456-pooler.us-east-2.aws.neon.tech"] = "transaction",
    ["EP-Cool-Rain-123456-POOLER.us-east-2.aws.neon.tech."] = "transaction",
    ["ep-cool-rain-123456-pooler.c-2.eu-central-1.aws.neon.tech"] = "transaction",
    ["ep-cool-rain-123456.us-east-2.aws.neon.tech"] = "none",
    ["pooled.db.prisma.io"] = "transaction", ["db.prisma.io:5432"] = "none",
    ["aws-eu-west-2.pg.psdb.cloud:6432"] = "transaction", ["aws-eu-west-2.pg.psdb.cloud:5432"] = "none",
    ["shop.postgres.database.azure.com:6432"] = "unknown", ["shop.postgres.database.azure.com"] = "none",
    ["db-postgresql-fra1-1.b.db.ondigitalocean.com:25061"] = "unknown",
    ["db-postgresql-fra1-1.b.db.ondigitalocean.com:25060"] = "none",
    ["p.abc.db.postgresbridge.com:5431"] = "unknown", ["p.abc.db.postgresbridge.com:5432"] = "none",
    ["shop.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com"] = "unknown",
    ["ro.endpoint.proxy-abcdefghijkl.eu-west-1.rds.amazonaws.com"] = "unknown",
    ["shop.abcdefghijkl.eu-west-1.rds.amazonaws.com"] = "none",
    ["10.1.2.3:6432"] = "unknown", ["10.1.2.3:5432"] = "none", ["[::1]:6432"] = "unknown",
    ["db/x?pgbouncer=true"] = "unknown", ["db/x?pgbouncer=false"] = "none",
    ["pooler.supabase.com.evil.example:6543"] = "none", ["my-pooler.neon.tech.example"] = "none",
  }

  for place, mode in pairs(MODES) do
    it(("R60 R61 takes %s for: %s"):format(place, mode), function()
      local found = look("postgresql://app@" .. place)
      assert.equal(mode, found and found.mode or "none")
    end)
  end
end)

describe("poolers.insist", function()
  local function refuse(text)
    local words, info = url.conninfo(text)
    return raised(poolers.insist, words, info.ignored)
  end

  it("R60 refuses Supabase's port 6543 with the server's own address and the pool in session mode", function()
    local err = refuse(("postgresql://postgres.%s:s3cret%%40@%s:6543/postgres?sslmode=require"):format(REF, SHARED))
    assert.equal("config", err.code)
    assert.equal(SHARED .. " port 6543 is Supabase's pooler, a transaction-mode pooler: locks and settings would be "
      .. "lost", err.message)
    assert.matches(("postgresql://postgres@db.%s.supabase.co:5432/postgres (that host has an IPv6 address only")
      :format(REF), err.hint, 1, true)
    assert.matches(("or the pool in session mode, postgresql://postgres.%s@%s:5432/postgres"):format(REF, SHARED),
      err.hint, 1, true)
    assert.not_matches("s3cret", err.message .. err.hint, 1, true)
    err = refuse(("postgresql://postgres@db.%s.supabase.co:6543/postgres"):format(REF))
    assert.matches(("postgresql://postgres@db.%s.supabase.co:5432/postgres"):format(REF), err.hint, 1, true)
  end)

  it("R60 finds the server behind Neon's and Prisma's names, and one pooler among several hosts", function()
    local err = refuse "postgresql://u:pw@ep-x-1-pooler.us-east-2.aws.neon.tech/neon%20db?channel_binding=require"
    assert.equal("use the server itself, postgresql://u@ep-x-1.us-east-2.aws.neon.tech:5432/neon%20db", err.hint)
    err = refuse "postgresql://u:pw@db1:5432,pooled.db.prisma.io:5432/app"
    assert.equal("use the server itself, postgresql://u@db.prisma.io:5432/app", err.hint)
    err = refuse(("host=%s port=6543 user=u password=pw"):format(SHARED))
    assert.equal(("use the pool in session mode, postgresql://u@%s:5432"):format(SHARED), err.hint)
  end)

  it("R61 lets session mode, and what only trying can tell, pass", function()
    for _, place in ipairs { SHARED .. ":5432", "localhost:6432", "h/d?pgbouncer=true", "h1:6432,h2:6432/d" } do
      local words, info = url.conninfo("postgresql://u@" .. place)
      assert.is_nil(poolers.insist(words, info.ignored))
    end
  end)
end)

describe("poolers.advise", function()
  it("has an answer for every entry, and for none", function()
    for _, entry in ipairs(poolers.known) do
      local said = poolers.advise(entry, { host = "a-pooler.b.neon.tech", port = 6543, user = "r.ref", dbname = "d" })
      assert.matches("use ", said, 1, true)
    end
    assert.matches("connect to the server itself", poolers.advise(nil, {}), 1, true)
    local found, at = look "postgresql://u@c.b.db.ondigitalocean.com:25061/pool"
    assert.equal("use the server itself, postgresql://u@c.b.db.ondigitalocean.com:25060/pool "
      .. "(there the database goes by its own name, not by the pool's)", poolers.advise(found, at))
  end)
end)
