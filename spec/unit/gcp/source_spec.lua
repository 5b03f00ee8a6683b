local cloud = require "spec.support.cloud"
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local gcp = require "migrator.gcp"
local http = require "migrator.core.http"
local mask = require "migrator.lib.mask"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"
local token = require "migrator.gcp.token"
local web = require "migrator.web"

local refused = cloud.refused

describe("gcp.source", function()
  local server

  setup(function() server = cloud.small() end)

  teardown(function()
    if server then server.handle:stop() end
    mask.clear()
  end)

  after_each(function()
    gcp.use(nil)
    for _, name in ipairs { "sts.json", "iam.json", "secret.json", "clock.json" } do
      if server then server.say(name) end
    end
  end)

  local function need_server()
    if server then return true end
    pending "needs python3"
  end

  local function source(options, environment)
    local all = { environment = cloud.job(server.url, environment) }
    for name, value in pairs(options) do all[name] = value end
    return gcp.source(all)
  end

  local function external(credential_source, more)
    local file = { type = "external_account", audience = "//iam.googleapis.com/" .. cloud.PROVIDER,
      subject_token_type = "urn:ietf:params:oauth:token-type:jwt", token_url = server.url .. "/v1/token",
      service_account_impersonation_url = server.url .. "/v1/projects/-/serviceAccounts/a@b:generateAccessToken",
      credential_source = credential_source }
    for name, value in pairs(more or {}) do file[name] = value end
    return cjson.encode(file)
  end

  it("exchanges the token of a file, as text and as JSON, for a service account's", function()
    if not need_server() then return end
    local dir = tmp.dir { ["token"] = "subject-of-file\n", ["token.json"] = '{"t":"subject-of-json"}' }
    for name, format in pairs { ["token"] = { type = "text" }, ["token.json"] = { type = "json",
      subject_token_field_name = "t" } } do
      local found = source { credentials = external { file = dir .. "/" .. name, format = format } }
      assert.equal("account-token-1", found:token())
      assert.equal("a@b", found.account)
      local log = server.log()
      local sent = log[#log - 1]
      assert.matches("subject_token=subject-of-" .. (name == "token" and "file" or "json") .. "&", sent.body, 1, true)
      assert.is_nil(sent.headers.authorization)
      assert.equal("Bearer federated-token", log[#log].headers.authorization)
    end
  end)

  it("exchanges the token of a URL, and uses the federated one when no account is named", function()
    if not need_server() then return end
    local text = external({ url = server.url .. "/subject", headers = { Authorization = "Bearer inner-secret-1" },
      format = { type = "json", subject_token_field_name = "value" } })
    local file = cjson.decode(text)
    file.service_account_impersonation_url = nil
    assert.equal("federated-token", source({ credentials = cjson.encode(file) }):token())
    local log = server.log()
    assert.equal("Bearer inner-secret-1", log[#log - 1].headers.authorization)
    assert.matches("subject_token=subject-of-url", log[#log].body, 1, true)
    assert.equal("***", mask.apply "inner-secret-1")
  end)

  it("runs the program of a file only when that is allowed", function()
    if not need_server() then return end
    local dir = tmp.dir {}
    tmp.write(dir .. "/get token", [[#!/bin/sh
echo '{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"'$1-$2'"}'
echo "$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE" > "$(dirname "$0")/saw"]], 448)
    local text = external { executable = { command = ("'%s/get token' from \"a program\""):format(dir) } }
    assert.equal("executable", refused(function() source({ credentials = text }):token() end).reason)
    local allowed = { GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES = "1" }
    assert.equal("account-token-1", source({ credentials = text }, allowed):token())
    local log = server.log()
    assert.matches("subject_token=from-a%20program&", log[#log - 1].body, 1, true)
    tmp.write(dir .. "/get token", [[#!/bin/sh
echo '{"version":1,"success":false,"code":"401","message":"no"}']], 448)
    assert.matches("the program says 401: no", refused(function() source({ credentials = text }, allowed):token() end)
      .message, 1, true)
  end)

  it("signs with a service account's key, which openssl finds right, and warns of it", function()
    if not need_server() or not process.find "openssl" then return end
    local key = server.dir .. "/key.pem"
    process.run { cmd = { "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key } }
    process.run { cmd = { "openssl", "pkey", "-in", key, "-pubout", "-out", server.dir .. "/public.pem" } }
    local file = { type = "service_account", client_email = "robot@acme.iam.gserviceaccount.com", private_key_id = "k1",
      private_key = require("migrator.core.fs").read(key), token_uri = server.url .. "/token" }
    local path = tmp.write(tmp.dir {} .. "/key.json", cjson.encode(file))
    local found = source({}, { GOOGLE_APPLICATION_CREDENTIALS = path })
    assert.equal("key-token-for-robot@acme.iam.gserviceaccount.com", found:token())
    assert.matches("works for whoever copies it", found.warnings[1], 1, true)
    assert.equal("***", mask.apply(file.private_key:match("\n([^\n]+)\n")))
    file.private_key = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"
    local err = refused(function() source({ credentials = cjson.encode(file) }):token() end)
    assert.same({ "config", "cannot sign: not a private key in PEM" }, { err.code, err.message })
  end)

  it("refreshes the token of a user who signed in", function()
    if not need_server() then return end
    local file = { type = "authorized_user", client_id = "id", client_secret = "client-secret-1",
      refresh_token = "good-refresh-token", quota_project_id = "acme" }
    local home = tmp.dir { [".config/gcloud/application_default_credentials.json"] = cjson.encode(file) }
    local found = source({}, { HOME = home })
    assert.equal("user-token-1", found:token())
    assert.equal("acme", found:headers()["x-goog-user-project"])
    file.refresh_token = "old-refresh-token"
    assert.equal("refresh_token", refused(function() source({ credentials = cjson.encode(file) }):token() end).reason)
  end)

  it("acts as an account by the credentials of another source", function()
    if not need_server() then return end
    local inner = { type = "authorized_user", client_id = "id", client_secret = "client-secret-1",
      refresh_token = "good-refresh-token" }
    local found = source { credentials = cjson.encode(inner), service_account = "deploy@acme.iam.gserviceaccount.com" }
    assert.equal("account-token-1", found:token())
    local log = server.log()
    assert.equal("Bearer user-token-1", log[#log].headers.authorization)
    assert.matches("deploy@acme.iam.gserviceaccount.com:generateAccessToken", log[#log].path, 1, true)
    found = source { credentials = cjson.encode { type = "impersonated_service_account", source_credentials = inner,
      service_account_impersonation_url = server.url .. "/v1/projects/-/serviceAccounts/a@b:generateAccessToken" } }
    assert.equal("account-token-1", found:token())
    server.say("iam.json", { status = 403, body = { error = { code = 403, status = "PERMISSION_DENIED", message =
      "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)." } } })
    found:forget()
    local err = refused(found.token, found)
    assert.matches("roles/iam.serviceAccountTokenCreator on a@b", err.hint, 1, true)
  end)

  it("takes a token that is there already, before anything else, and cannot renew it", function()
    if not need_server() then return end
    local found = source({}, { CLOUDSDK_AUTH_ACCESS_TOKEN = "given-token-1", GOOGLE_APPLICATION_CREDENTIALS = "/x" })
    assert.equal("given-token-1", found:token())
    assert.is_false(found:forget())
    assert.equal("***", mask.apply "given-token-1")
    assert.equal("credentials: the access token in CLOUDSDK_AUTH_ACCESS_TOKEN", tostring(found))
  end)

  it("asks the server's clock how long a token lives", function()
    if not need_server() then return end
    server.say("clock.json", { status = 0, body = -1200 })
    local found = source { credentials = external { file = tmp.write(tmp.dir {} .. "/t", "subject") } }
    found:token()
    assert.is_true(math.abs(found:remaining() - 4500) < 30)
    server.say("sts.json", { status = 400, body = { error = "invalid_grant", error_description = "expired" } })
    found:forget()
    assert.matches("this machine is 120[01] s ahead of the server's", refused(found.token, found).hint)
  end)

  it("believes no file that would send the token elsewhere, and no plain http", function()
    if not need_server() then return end
    local function with(fields, environment)
      local base = { environment = environment or {}, credentials = external({ file = "/x" }, fields) }
      return refused(gcp.source, base).reason
    end
    assert.equal("untrusted_host", with { token_url = "https://sts.googleapis.com.evil.example/v1/token" })
    assert.equal("untrusted_host", with { token_url = "https://evilgoogleapis.com/v1/token" })
    assert.equal("plain_http", with { token_url = "http://sts.googleapis.com/v1/token" })
    assert.equal("untrusted_host", with { service_account_impersonation_url = "https://x.example/v1/a" })
    assert.equal("plain_http", refused(gcp.source, { environment = {}, token = "x",
      endpoints = { sts = "http://example.com" } }).reason)
  end)

  it("names what is wrong with an option or a file", function()
    local function reason(options)
      options.environment = { GCE_METADATA_HOST = "127.0.0.1:1" }
      local err = refused(gcp.source, options)
      return err.reason or err.message
    end
    local err = refused(gcp.source, { provider = "projects/acme/locations/global/workloadIdentityPools/p/providers/q" })
    assert.matches("it needs the project's number, not its name", err.message, 1, true)
    assert.equal("provider", reason { provider = "projects/1/locations/global/workloadIdentityPools/p" })
    assert.equal("credentials", reason { credentials = "/nowhere.json" })
    assert.equal("credentials", reason { credentials = "{ not json" })
    assert.equal("credentials", reason { credentials = '{"type":"gdch_service_account"}' })
    assert.equal("no_credentials", reason {})
    assert.matches("no option", reason { provder = "x" }, 1, true)
    assert.matches("no service account", reason { service_account = "x y" }, 1, true)
    assert.equal("subject", reason { credentials = '{"type":"external_account","audience":"x","credential_source":'
      .. '{"environment_id":"aws1","url":"http://169.254.169.254/"}}' })
  end)

  it("says that the job lacks `id-token: write`", function()
    local options = { provider = cloud.PROVIDER, environment = { GITHUB_ACTIONS = "true" } }
    local err = refused(function() gcp.source(options):token() end)
    assert.equal("id_token_permission", err.reason)
    assert.matches("id-token: write", err.hint, 1, true)
    options.environment = { GITLAB_CI = "true" }
    assert.matches('id_token = "env:GCP_TOKEN"', refused(function() gcp.source(options):token() end).hint, 1, true)
  end)

  it("takes the OIDC token of a GitLab job from its variable", function()
    if not need_server() then return end
    local found = source({ provider = cloud.PROVIDER, id_token = "env:GCP_TOKEN" },
      { GCP_TOKEN = "header.claims.sign" })
    assert.equal("federated-token", found:token())
    local log = server.log()
    assert.matches("subject_token=header.claims.sign&", log[#log].body, 1, true)
  end)
end)

describe("gcp token", function()
  it("R132 is fetched once, again when it is old, and not lost when that fails", function()
    local count, fail = 0, false
    local source = token.new { kind = "token", description = "x", fetch = function()
      count = count + 1
      if fail then errors.raise("http", "no") end
      return "t" .. count, 0.4
    end }
    assert.same({ "t1", "t1", 1 }, { source:token(), source:token(), count })
    clock.sleep(0.32)
    assert.equal("t2", source:token())
    fail = true
    clock.sleep(0.32)
    assert.equal("t2", source:token())
    clock.sleep(0.1)
    assert.equal("http", cloud.refused(source.token, source).code)
  end)
end)

describe("web.split", function()
  it("knows of an address without a host that it is none", function()
    assert.is_nil(web.split "http://:8200")
    assert.is_nil(web.split "https://user@host/")
    assert.same({ "http", "[::1]", true }, { web.split "http://[::1]:80/x" })
  end)
end)

describe("web.send", function()
  local server
  setup(function() server = cloud.small() end)
  teardown(function() if server then server.handle:stop() end end)

  it("tries again while a service is busy, and says so", function()
    if not server then return pending "needs python3" end
    local notes = {}
    local answer = web.send({ url = server.url .. "/busy/1" }, { note = function(text) notes[#notes + 1] = text end })
    assert.same({ 200, 3, 2 }, { answer.status, answer.tries, #notes })
    assert.matches("HTTP 503; trying again in", notes[1], 1, true)
    assert.same({ 503, 1 }, { web.send({ url = server.url .. "/busy/2" }, { tries = 1 }).status,
      web.send({ url = server.url .. "/busy/3" }, { deadline = clock.deadline(0.1) }).tries })
  end)

  it("tries again when nobody answers, but not beyond the deadline", function()
    local url, began = ("http://127.0.0.1:%d/"):format(http.find_port()), clock.now()
    local err = cloud.refused(web.send, { url = url }, { deadline = clock.deadline(1.5) })
    assert.equal("http", err.code)
    assert.matches("tried %d times", err.detail)
    assert.is_true(clock.now() - began < 2)
  end)
end)
