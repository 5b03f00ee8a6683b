local base64 = require "migrator.lib.base64"
local cli = require "spec.support.cli"
local cloud = require "spec.support.cloud"
local crc32c = require "migrator.lib.crc32c"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local gcp = require "migrator.gcp"
local host = require "migrator.core.host"
local mask = require "migrator.lib.mask"
local process = require "migrator.core.process"
local secrets = require "migrator.secrets"
local tmp = require "spec.support.tmp"

local refused = cloud.refused

describe("secrets.get", function()
  before_each(mask.clear)
  after_each(mask.clear)

  local function get(reference, environment)
    local notes = {}
    local value, info = secrets.get(reference, { environment = environment or {},
      note = function(text) notes[#notes + 1] = text end })
    return value, info, notes
  end

  it("R130 takes a secret from a variable, a file or a command", function()
    assert.equal("from-a-variable", (get("env:X", { X = "from-a-variable" })))
    assert.equal("from-a-file", (get("file:" .. tmp.write(tmp.dir {} .. "/s", "from-a-file"))))
    assert.equal("from-a-command", (get "cmd:printf from-a-command"))
    assert.equal("from-a-command", (get "cmd: printf from-a-command"))
    assert.equal("cmd: names no program", refused(get, "cmd: ").message)
    assert.matches("is not set", refused(get, "env:X").message, 1, true)
    assert.matches("is empty", refused(get, "env:X", { X = "" }).message, 1, true)
    assert.matches("false exited with 1", refused(get, "cmd:false").message, 1, true)
    assert.equal("the secret cmd:true is empty", refused(get, "cmd:true --password=x").message)
  end)

  it("takes off one line end, and says so", function()
    local value, _, notes = get("env:X", { X = "secret-1\r\n" })
    assert.same({ "secret-1", "a newline at its end was taken off" }, { value, notes[1] })
    assert.equal("secret-1\n", (get("env:X", { X = "secret-1\n\n" })))
    assert.equal("the secret env:X is blank", refused(get, "env:X", { X = "\n" }).message)
    assert.equal("the secret env:X is blank", refused(get, "env:X", { X = " \t\r\n " }).message)
    assert.equal("a    b", mask.apply "a    b")
  end)

  it("says that a very short one cannot be hidden, and leaves the log readable", function()
    local value, _, notes = get("env:X", { X = "abc" })
    assert.same({ "abc", { "shorter than 4 characters, so it cannot be hidden in the log" } }, { value, notes })
    assert.equal("abc of abcd", mask.apply "abc of abcd")
    assert.same({ "x7!q", {} }, { (get("env:X", { X = "x7!q" })), select(3, get("env:X", { X = "x7!q" })) })
    assert.equal("a *** b", mask.apply "a x7!q b")
  end)

  it("takes one of 64 KiB with a line end behind it", function()
    local long = ("0123456789abcdef"):rep(4096)
    assert.equal(long, (get("file:" .. tmp.write(tmp.dir {} .. "/s", long .. "\r\n"))))
    assert.equal("x *** y", mask.apply("x " .. long .. " y"))
  end)

  it("R130 R131 a command sees no way into the database, and what it says is shown without the secret", function()
    local dir = tmp.dir { ["tell.sh"] = "set -x\nprintf '%s' told-s3cret; echo \"asked: told-s3cret\" >&2\n"
      .. "env > $1\n" }
    host.setenv("PROD_URL", "postgresql://u:pw@h/d")
    finally(function() host.setenv("PROD_URL", nil) end)
    local value, info, notes = get(("cmd:sh %s/tell.sh %s/env"):format(dir, dir),
      { PROD_URL = "postgresql://u:pw@h/d" })
    assert.same({ "told-s3cret", "cmd:sh" }, { value, info.from })
    assert.matches("sh: asked: told-s3cret", table.concat(notes, "\n"), 1, true)
    assert.not_matches("told-s3cret", mask.apply(table.concat(notes, "\n")), 1, true)
    local seen = "\n" .. fs.read(dir .. "/env")
    for _, name in ipairs { "PROD_URL", "DATABASE_URL", "PGPASSWORD" } do
      assert.not_matches("\n" .. name .. "=", seen, 1, true)
    end
    assert.matches("\nPATH=", seen, 1, true)
  end)

  it("R131 hides every part of a URL that may be the password, well formed or not", function()
    for text, hidden in pairs {
      ["postgresql://u:p%40ss!word1@h/d"] = { "p@ss!word1", "p%40ss!word1", "p%40ss%21word1" },
      ["postgresql://u@h/d?sslpassword=k3y-word"] = { "k3y-word" }, ["postgresql://u@h/d?password=qu3ry"] = { "qu3ry" },
      ["postgresql://u:p4ss/w0rd@h:x/d"] = { "p4ss/w0rd", "p4ss", "w0rd" }, ["p4ss-w0rd"] = { "p4ss-w0rd" },
      ["host=h password='p4ss w0rd"] = { "p4ss w0rd" },
      ["postgresql://u:p4ss@w0rd@h:x/d"] = { "p4ss@w0rd", "p4ss" },
    } do
      mask.clear()
      secrets.hide_url(text)
      for _, part in ipairs(hidden) do assert.equal("[***]", mask.apply("[" .. part .. "]"), text) end
    end
  end)

  it("takes the scheme of a user's own file of less than twenty lines, AWS's store in the cookbook", function()
    local dir = tmp.dir { ["bin/aws"] = "#!/bin/sh\n# a stand-in for AWS's own program\n[ \"$1 $2 $3\" = "
      .. "'secretsmanager get-secret-value --secret-id' ] || exit 9\n"
      .. "[ \"$4\" = prod/db ] || { echo 'AccessDenied' >&2; exit 255; }\n"
      .. [[printf '%s' '{"SecretString": "{\"url\":\"postgresql://u:aws-p4ss@h/d\"}", "VersionId": "v-7"}']] }
    process.run { cmd = { "chmod", "+x", dir .. "/bin/aws" } }
    local example = fs.read("docs/cookbook.md"):match "\n```lua aws.lua\n(.-)```\n"
    tmp.write(dir .. "/aws.lua", example)
    tmp.write(dir .. "/s.lua", [[require "aws"
      local value, version = secrets.get(arg[1])
      print(value == "postgresql://u:aws-p4ss@h/d", version, "the password aws-p4ss")]])
    local env = { PATH = dir .. "/bin:" .. host.environment().PATH }
    local ran = cli.run { "s.lua", "aws:prod/db#url", cwd = dir, env = env }
    assert.equal("true\tv-7\tthe password ***\n", ran.stdout, ran.stderr)
    ran = cli.run { "s.lua", "aws:other", cwd = dir, env = env }
    assert.equal(2, ran.code)
    assert.matches("aws: AccessDenied", ran.stderr, 1, true)
    local _, lines = example:gsub("\n", "\n")
    assert.is_true(lines < 20)
  end)

  it("R131 hides it, each of its lines, its encoded forms, and the password of a URL alone", function()
    get("env:X", { X = "postgresql://u:p%40ssword/9@h/d\nsecond line" })
    local function hidden(text) assert.not_matches(text, mask.apply("a " .. text .. " b"), 1, true) end
    hidden "second line"
    hidden "second%20line"
    hidden(base64.encode "second line")
    mask.clear()
    get("env:X", { X = "postgresql://u:p%40ssword9@h/d" })
    hidden "p@ssword9"
    hidden "p%40ssword9"
    hidden(base64.encode "p@ssword9")
    assert.equal("Basic dXNlOn***", (mask.apply("Basic " .. base64.encode "use:p@ssword9"):gsub("%*.*", "***")))
  end)

  it("R131 keeps our memory and environment from other programs of the same user from then on", function()
    if process.user().uid ~= 0 or not fs.find "/proc/self/environ" then return pending "needs root, and /proc" end
    local look = [[local ran = process.run { cmd = { "sh", "-c", "tr '\\0' '\\n' < /proc/$PPID/environ" } }
      print(ran.code == 0 and ran.stdout:match("SEEN=([^\n]*)") or "not to be read")]]
    local function run(before)
      local dir = tmp.dir { ["s.lua"] = before .. look }
      process.run { cmd = { "chmod", "-R", "a+rX", dir } }
      return cli.run { "s.lua", cwd = dir, user = "nobody", env = { SEEN = "plain-text" } }
    end
    local open = run ""
    if open.stdout ~= "plain-text\n" then return pending "nobody cannot run the program here" end
    assert.equal("not to be read\n", run("secrets.get 'env:SEEN'\n").stdout)
  end)

  it("asks a scheme that a script added, and refuses what is none", function()
    secrets.scheme("spec", function(rest, ctx) return "text of " .. rest .. " for " .. ctx.environment.WHO, 7 end)
    local value, info = get("spec://a/b", { WHO = "me" })
    assert.same({ "text of a/b for me", "7", "spec://a/b" }, { value, info.version, info.from })
    secrets.scheme("spec", function() return nil end)
    assert.matches('the scheme "spec" gave a nil', refused(get, "spec:x").message, 1, true)
    assert.matches('did you mean "vault"', refused(get, "vaul:x").hint, 1, true)
    local err = refused(get, "p4ssword-without-scheme")
    assert.not_matches("p4ssword", err.message .. err.hint, 1, true)
    assert.has_error(function() secrets.scheme("Bad Name", print) end)
    assert.has_error(function() secrets.scheme("x", "not a function") end)
    assert.equal("script", refused(secrets.scheme, "env", print).code)
  end)
end)

describe("secrets of a service", function()
  local server
  setup(function() server = cloud.small() end)
  teardown(function()
    if server then server.handle:stop() end
    mask.clear()
  end)
  after_each(function() if server then server.say("secret.json") end end)

  local function get(reference, environment, source)
    return secrets.get(reference, { environment = environment, given = { auth = source } })
  end

  describe("vault:", function()
    local function env(more)
      local out = { VAULT_ADDR = server.url, VAULT_TOKEN = "hvs.good-token" }
      for name, value in pairs(more or {}) do out[name] = value end
      return out
    end

    it("reads a field of the newest version, or of the one that is named", function()
      if not server then return pending "needs python3" end
      local value, info = get("vault://kv/app/db#url", env())
      assert.same({ "postgresql://u:v4ultpass@h/d", "3" }, { value, info.version })
      assert.equal("postgresql://***:***@h", mask.apply("postgresql://v4ultpass:hvs.good-token@h"))
      value, info = get("vault://kv/app/db?version=1#url", env { VAULT_TOKEN = "",
        HOME = tmp.dir { [".vault-token"] = "hvs.good-token\n" } })
      assert.same({ "postgresql://old@h/d", "1" }, { value, info.version })
    end)

    it("tells its refusals apart", function()
      if not server then return pending "needs python3" end
      local function reason(reference, more) return refused(get, reference, env(more)).reason end
      assert.equal("vault_denied", reason("vault://kv/app/db#url", { VAULT_TOKEN = "hvs.bad-token" }))
      assert.equal("secret_not_found", reason "vault://kv/app/none#url")
      assert.equal("version_destroyed", reason "vault://kv/gone#url")
      assert.equal("vault_field", reason "vault://kv/app/db#n")
      assert.equal("vault_field", reason "vault://kv/app/db#other")
      assert.equal("secret_name", reason "vault://kv")
      assert.equal("secret_name", reason "vault://kv/../sys#x")
      assert.equal("vault_token", reason("vault://kv/app/db#url", { VAULT_TOKEN = "" }))
      assert.equal("vault_address", reason("vault://kv/app/db#url", { VAULT_ADDR = "" }))
      assert.equal("plain_http", reason("vault://kv/app/db#url", { VAULT_ADDR = "http://vault.example" }))
    end)
  end)

  describe("sm:", function()
    local function source(quota_project)
      return gcp.source { environment = cloud.job(server.url), token = "given-token-1", quota_project = quota_project }
    end

    local function answer(bytes, crc)
      return { status = 200, body = { name = "projects/9/secrets/S/versions/12",
        payload = { data = base64.encode(bytes), dataCrc32c = crc } } }
    end

    it("checks the checksum when there is one", function()
      if not server then return pending "needs python3" end
      server.say("secret.json", answer("s3cret-bytes\n", tostring(crc32c "s3cret-bytes\n")))
      local value, info = get("sm://acme/S", {}, source())
      assert.same({ "s3cret-bytes", "12" }, { value, info.version })
      server.say("secret.json", answer("s3cret-bytes", nil))
      assert.equal("s3cret-bytes", (get("sm://acme/S", {}, source())))
      server.say("secret.json", answer("s3cret-bytes", "17"))
      local err = refused(get, "sm://acme/S", {}, source())
      assert.same({ "checksum", 4 }, { err.reason, errors.exit_code(err) })
    end)

    it("asks by project, name, version and place, and for the quota project", function()
      if not server then return pending "needs python3" end
      server.say("secret.json", answer("s3cret-bytes"))
      local function asked(reference, quota)
        get(reference, {}, source(quota))
        local log = server.log()
        return log[#log].path, log[#log].headers["x-goog-user-project"]
      end
      assert.same({ "/v1/projects/acme/secrets/S/versions/latest:access", "billed" },
        { asked("sm://acme/S", "billed") })
      assert.same({ "/v1/projects/acme/secrets/S/versions/3:access" }, { asked "sm://acme/S/3" })
      assert.equal("/v1/projects/9/secrets/S/versions/prod:access", (asked "projects/9/secrets/S/versions/prod"))
      assert.equal("/v1/projects/9/locations/europe-west1/secrets/S/versions/latest:access",
        (asked "sm://projects/9/locations/europe-west1/secrets/S"))
      for _, bad in ipairs { "sm:x", "sm://a/b/c/d", "sm://a/b?c", "sm://a b/c", "projects/x" } do
        assert.equal("secret_name", refused(get, bad, {}, source()).reason)
      end
    end)

    it("says what an answer without a payload is", function()
      if not server then return pending "needs python3" end
      server.say("secret.json", { status = 200, body = "<html>" })
      assert.equal("bad_answer", refused(get, "sm://acme/S", {}, source()).reason)
      server.say("secret.json", { status = 403, body = "<html>" })
      assert.equal("secret_permission", refused(get, "sm://acme/S", {}, source()).reason)
    end)
  end)
end)
