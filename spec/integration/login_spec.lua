-- The key that a password becomes is derived by code of ours (src/hash/scram.c): a real server says whether it is right.
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local sql = require "migrator.core.sql"

describe("a login with a password", function()
  local server, admin

  setup(function()
    server = ephemeral.start { port = true }
    admin = db.connect(server.url)
    admin:exec(("copy (select unnest(array['local all all trust', 'host all all 127.0.0.1/32 scram-sha-256'])) to '%s'")
      :format(admin:value "show hba_file"))
    admin:value "select pg_reload_conf()"
  end)

  teardown(function()
    admin:close()
    server:stop()
  end)

  local function log_in(password)
    local conn <close> = db.connect { host = "127.0.0.1", port = tostring(server.port), user = "app",
      dbname = "postgres", password = password }
    return conn:value "select current_user::text"
  end

  -- A block of SHA-256 has 64 bytes: a longer key is hashed first.
  for _, password in ipairs { "x", ("p"):rep(63), ("p"):rep(64), ("p"):rep(65), ("word "):rep(60), "pä$$ wörd\u{1F511}",
    "\u{2168}\u{AA}" } do
    it(("of %d bytes is let in, and with another last one is not"):format(#password), function()
      admin:script("drop role if exists app; create role app login password " .. sql.quote_literal(password))
      assert.equal("app", log_in(password))
      local ok, err = pcall(log_in, password .. "!")
      assert.same({ false, "28P01" }, { ok, err.sqlstate })
    end)
  end
end)
