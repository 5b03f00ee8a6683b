-- A password that is good for minutes only, on a server that asks for it.
local cli = require "spec.support.cli"
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local tmp = require "spec.support.tmp"

describe("a password that ended between the secret and the login (R132)", function()
  local server

  setup(function()
    server = ephemeral.start { port = true }
    local conn <close> = db.connect(server.url)
    conn:script "create role app login password 'fresh-Pa55'"
    conn:exec(("copy (select unnest(array['local all all trust', 'host all all 127.0.0.1/32 scram-sha-256'])) to '%s'")
      :format(conn:value "show hba_file"))
    conn:value "select pg_reload_conf()"
  end)

  teardown(function() server:stop() end)

  -- The store's answers, one after another, the last one for ever.
  local function go(answers, more)
    local files = { ["p.lua"] = [[return pipeline { steps = { steps.secret { name = "DATABASE_URL", from = "cmd:sh store.sh" },
      ]] .. (more or "") .. [[ steps.wait { database = { timeout = "5s" } },
      function(ctx) print(ctx:need("conn"):value "select current_user::text") end } }]],
      ["store.sh"] = 'echo x >> asked; n=$(wc -l < asked); [ -f "$n" ] || n=' .. #answers .. '; cat "$n"\n' }
    for i, password in ipairs(answers) do
      files[tostring(i)] = ("postgresql://app:%s@127.0.0.1:%d/postgres?sslmode=disable\n"):format(password, server.port)
    end
    local dir = tmp.dir(files)
    local ran = cli.run { "p.lua", cwd = dir }
    local _, asked = require("migrator.core.fs").read(dir .. "/asked"):gsub("\n", "")
    return ran, asked
  end

  it("is read again, once, and used when it has changed", function()
    local ran, asked = go { "stale-Pa55", "fresh-Pa55" }
    assert.equal("app\n", ran.stdout, ran.stderr)
    assert.equal(2, asked)
    assert.matches("the login was refused, and the secret has changed: trying the new one", ran.stderr, 1, true)
    assert.not_matches("Pa55", ran.stderr, 1, true)
  end)

  it("is refused as it is when the store has no other, or only another wrong one", function()
    for count, answers in ipairs { { "stale-Pa55" }, { "stale-Pa55", "older-Pa55", "fresh-Pa55" } } do
      local ran, asked = go(answers)
      assert.equal(4, ran.code)
      assert.equal(2, asked, count)
      assert.matches('error: cannot connect to 127.0.0.1 port %d+: password authentication failed for user "app"',
        ran.stderr)
    end
  end)

  it("is taken over behind a proxy, whose address stays", function()
    local ran = go({ "stale-Pa55", "fresh-Pa55" }, "steps.proxy { 'socat' },")
    assert.equal("app\n", ran.stdout, ran.stderr)
  end)
end)
