local base64 = require "migrator.lib.base64"
local cjson = require "cjson"
local cli = require "spec.support.cli"
local cloud = require "spec.support.cloud"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local gcp = require "migrator.gcp"
local mask = require "migrator.lib.mask"
local secrets = require "migrator.secrets"
local tmp = require "spec.support.tmp"

local refused = cloud.refused

local PASSWORD = "s3cr@t/pass"
local URL = "postgresql://app:s3cr%40t%2Fpass@203.0.113.9:5432/trovella?application_name=x"

describe("gcp against the emulator", function()
  local emulator

  setup(function()
    emulator = cloud.emulator { "--secret", "DATABASE_URL=" .. URL, "--secret", "LINES=one-secret\ntwo-secret\n" }
  end)

  teardown(function()
    if emulator then emulator.handle:stop() end
    mask.clear()
  end)

  before_each(function() if emulator then emulator.fault() end end)
  after_each(function() gcp.use(nil) end)

  local function need()
    if emulator then return true end
    pending "needs the emulator of the shared folder, python3 and openssl"
  end

  local function federation(options, environment)
    local all = { provider = cloud.PROVIDER, service_account = cloud.ACCOUNT,
      environment = cloud.job(emulator.url, environment) }
    for name, value in pairs(options or {}) do all[name] = value end
    return gcp.source(all)
  end

  local function get(reference, source)
    local notes = {}
    local value, info = secrets.get(reference, { environment = {}, given = { auth = source },
      note = function(text) notes[#notes + 1] = text end })
    return value, info, notes
  end

  local function logged(from) return { table.unpack(emulator.log(), from + 1) } end

  it("goes from GitHub's token to a service account's in three requests, and asks no more while it is good", function()
    if not need() then return end
    local before, source = #emulator.log(), federation()
    assert.equal(before, #emulator.log())
    assert.equal("ya29.emulated-sa-token", source:token())
    assert.equal("ya29.emulated-sa-token", source:token())
    local log = logged(before)
    assert.equal(3, #log)
    assert.equal("/_oidc/token?api-version=2.0&audience=https%3A%2F%2Fiam.googleapis.com%2F"
      .. cloud.PROVIDER:gsub("/", "%%2F"), log[1].path)
    assert.equal("/v1/token", log[2].path)
    assert.is_nil(log[2].headers.authorization)
    assert.matches("requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token", log[2].body, 1, true)
    assert.same({ scope = { "https://www.googleapis.com/auth/cloud-platform" }, lifetime = "3300s" },
      cjson.decode(log[3].body))
    assert.is_true(math.abs(source:remaining() - 3300) < 10)
    for _, text in ipairs { "ya29.emulated-sa-token", "ya29.d.emulated-federated-token", "gh-runtime-token" } do
      assert.equal("***", mask.apply(text))
    end
  end)

  it("takes the file that google-github-actions/auth writes", function()
    if not need() then return end
    local path = tmp.write(tmp.dir {} .. "/gha-creds.json", cjson.encode { type = "external_account",
      audience = "//iam.googleapis.com/" .. cloud.PROVIDER, subject_token_type = "urn:ietf:params:oauth:token-type:jwt",
      token_url = emulator.url .. "/v1/token", service_account_impersonation_url = emulator.url
        .. "/v1/projects/-/serviceAccounts/" .. cloud.ACCOUNT .. ":generateAccessToken",
      credential_source = { url = emulator.url .. "/_oidc/token?api-version=2.0&audience=https%3A%2F%2F"
        .. "iam.googleapis.com%2F"
        .. cloud.PROVIDER:gsub("/", "%%2F"), headers = { Authorization = "Bearer gh-runtime-token" },
        format = { type = "json", subject_token_field_name = "value" } } })
    local source = gcp.source { environment = { GOOGLE_APPLICATION_CREDENTIALS = path } }
    assert.equal("ya29.emulated-sa-token", source:token())
    assert.same({ "external_account", cloud.ACCOUNT }, { source.kind, source.account })
  end)

  it("asks the metadata server when nothing else is there", function()
    if not need() then return end
    local source = gcp.source { environment = { GCE_METADATA_HOST = emulator.url:match("//(.*)$") } }
    assert.equal("metadata", source.kind)
    assert.equal("ya29.emulated-sa-token", source:token())
    assert.is_true(source:remaining() > 3000)
  end)

  it("R130 reads a secret, the newest or a certain version, with its checksum and the quota header", function()
    if not need() then return end
    local source = federation { quota_project = "trovella-prod" }
    local before = #emulator.log()
    local value, info = get("sm://trovella-prod/DATABASE_URL", source)
    assert.same({ URL, "3" }, { value, info.version })
    local last = logged(before)
    assert.equal("trovella-prod", last[#last].headers["x-goog-user-project"])
    assert.equal("7", select(2, get("sm://trovella-prod/DATABASE_URL/7", source)).version)
    assert.equal("***", mask.apply(PASSWORD))
    local text, _, notes = get("sm://trovella-prod/LINES", source)
    assert.same({ "one-secret\ntwo-secret", 1 }, { text, #notes })
  end)

  it("R132 fetches another token when the one it holds is refused, once", function()
    if not need() then return end
    local source = federation()
    source:token()
    source.held.token = "ya29.withdrawn"
    assert.equal(URL, (get("sm://trovella-prod/DATABASE_URL", source)))
    assert.equal(2, source.fetched)
    local fixed = gcp.source { environment = cloud.job(emulator.url), token = "ya29.too-old-token" }
    local err = refused(get, "sm://trovella-prod/DATABASE_URL", fixed)
    assert.same({ "expired", 2 }, { err.reason, errors.exit_code(err) })
  end)

  it("tries again when a service is busy for a moment", function()
    if not need() then return end
    emulator.fault("503_once", 1)
    local value, _, notes = get("sm://trovella-prod/DATABASE_URL", federation())
    assert.equal(URL, value)
    assert.matches("Secret Manager: HTTP 503; trying again in", notes[1], 1, true)
  end)

  local FAULTS = { oidc_500 = { "oidc_busy", 4 }, sts_bad_audience = { "provider", 2 },
    imp_denied = { "token_creator", 2 },
    secret_denied = { "secret_permission", 2 }, secret_404 = { "secret_not_found", 2 }, secret_crc = { "checksum", 4 } }
  for fault, want in pairs(FAULTS) do
    it(("R134 tells the fault %s apart and says what to change"):format(fault), function()
      if not need() then return end
      emulator.fault(fault)
      local err = refused(get, "sm://trovella-prod/DATABASE_URL", federation())
      assert.same(want, { err.reason, errors.exit_code(err) })
      assert.is_true(#(err.hint or "") > 5)
      assert.not_matches("ya29", err.message .. err.hint .. (err.detail or ""), 1, true)
    end)
  end

  it("tells a wrong runner token, audience, account and project apart", function()
    if not need() then return end
    local function reason(options, environment)
      return refused(get, "sm://trovella-prod/DATABASE_URL", federation(options, environment)).reason
    end
    assert.equal("oidc_refused", reason({}, { ACTIONS_ID_TOKEN_REQUEST_TOKEN = "of-another-job" }))
    assert.equal("audience_mismatch", reason { audience = "https://github.com/trovella" })
    assert.equal("provider", reason { provider = (cloud.PROVIDER:gsub("gh$", "other")) })
    assert.equal("token_creator", reason { service_account = "somebody@else.iam.gserviceaccount.com" })
    assert.equal("id_token_permission", reason({}, { ACTIONS_ID_TOKEN_REQUEST_URL = "", GITHUB_ACTIONS = "true" }))
    assert.equal("endpoint", reason({ endpoints = { sts = emulator.url .. "/nowhere" } }))
  end)
end)

describe("a pipeline with steps.auth and steps.secret", function()
  local emulator

  setup(function() emulator = cloud.emulator { "--secret", "DATABASE_URL=" .. URL .. "\n" } end)
  teardown(function() if emulator then emulator.handle:stop() end end)

  local SCRIPT = [[
    return pipeline { steps = {
      steps.auth { provider = env.WIF_PROVIDER, service_account = env.WIF_SERVICE_ACCOUNT, quota_project = "trovella-prod" },
      steps.secret { name = "DATABASE_URL", from = "sm://trovella-prod/DATABASE_URL" },
      function(ctx) print("dsn " .. ctx:need "dsn", "token " .. gcp.token(), secrets.get "env:OTHER") end,
      steps.run { cmd = { "sh", "-c", "echo child $DATABASE_URL" } },
      function() error("boom with " .. gcp.token()) end,
      steps.report { "text", "github", "json:report.json" },
    } }]]

  local function run(more, args)
    local dir = tmp.dir { ["pipeline.lua"] = SCRIPT, summary = "", output = "" }
    local environment = cloud.job(emulator.url, { WIF_PROVIDER = cloud.PROVIDER, WIF_SERVICE_ACCOUNT = cloud.ACCOUNT,
      OTHER = "another-s3cret", GITHUB_ACTIONS = "true", GITHUB_STEP_SUMMARY = dir .. "/summary",
      GITHUB_OUTPUT = dir .. "/output" })
    for name, value in pairs(more or {}) do environment[name] = value end
    local options = { "pipeline.lua", env = environment, cwd = dir }
    if args then options = { args, "pipeline.lua", env = environment, cwd = dir } end
    return cli.run(options), dir
  end

  local SECRET = { URL, PASSWORD, "s3cr%40t%2Fpass", "ya29.emulated-sa-token", "ya29.d.emulated-federated-token",
    "gh-runtime-token", "another-s3cret", base64.encode(PASSWORD), base64.encode(URL) }

  it("R131 shows no secret but to the runner, as a mask, and names the version in the report", function()
    if not emulator then return pending "needs the emulator of the shared folder, python3 and openssl" end
    local ran, dir = run()
    assert.equal(2, ran.code)
    assert.matches("DATABASE_URL: a newline at its end was taken off", ran.stderr, 1, true)
    assert.matches("version 3 of sm://trovella-prod/DATABASE_URL", ran.stderr, 1, true)
    assert.matches("version 3 of sm://trovella%-prod/DATABASE\\_URL", fs.read(dir .. "/summary"))
    assert.equal("3", cjson.decode(fs.read(dir .. "/report.json")).secrets[1].version)
    local rest, masks = {}, {}
    for line in (ran.stdout .. ran.stderr):gmatch("[^\n]+") do
      local masked = line:match("^::add%-mask::(.*)$")
      if masked then masks[(masked:gsub("%%25", "%%"))] = true else rest[#rest + 1] = line end
    end
    local printed = table.concat(rest, "\n") .. fs.read(dir .. "/summary") .. fs.read(dir .. "/report.json")
      .. fs.read(dir .. "/output")
    assert.matches("dsn ***", printed, 1, true)
    assert.matches("child ***", printed, 1, true)
    for _, secret in ipairs(SECRET) do
      assert.not_matches(secret, printed, 1, true)
      assert.is_true(masks[secret], "no mask for " .. secret)
    end
  end)

  it("keeps masks out of the document of --json", function()
    if not emulator then return pending "needs the emulator of the shared folder, python3 and openssl" end
    local ran = run(nil, "--json")
    assert.equal(2, ran.code)
    assert.matches("::add-mask::", ran.stderr, 1, true)
    for _, secret in ipairs(SECRET) do assert.not_matches(secret, ran.stdout, 1, true) end
    assert.not_matches("add-mask", ran.stdout, 1, true)
  end)

  it("R12 stops at a refusal, before anything else, with its cause in the last lines", function()
    if not emulator then return pending "needs the emulator of the shared folder, python3 and openssl" end
    emulator.fault "imp_denied"
    local ran = run()
    emulator.fault()
    assert.equal(2, ran.code)
    assert.matches("error: cannot get a token of the service account: it may not act as " .. cloud.ACCOUNT,
      ran.stderr, 1, true)
    assert.matches("grant roles/iam.workloadIdentityUser on " .. cloud.ACCOUNT .. " to principalSet://", ran.stderr,
      1, true)
    assert.not_matches("child", ran.stdout, 1, true)
    assert.equal(2, run({ WIF_PROVIDER = "projects/x" }).code)
  end)
end)
