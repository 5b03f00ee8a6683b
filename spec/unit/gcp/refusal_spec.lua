local errors = require "migrator.error"
local refusal = require "migrator.gcp.refusal"

local FACTS = { provider = "projects/1/locations/global/workloadIdentityPools/p/providers/q", federated = true,
  audience = "//iam.googleapis.com/projects/1/x", service_account = "ci@p.iam.gserviceaccount.com",
  claims = { repository = "acme/app", ref = "refs/heads/topic", sub = "repo:acme/app", aud = "other",
    iss = "https://i" },
  project = "acme", name = "DATABASE_URL", secret = "secret DATABASE_URL of project acme", version = "latest" }

local function oauth(code, text) return { error = code, error_description = text } end

local function api(code, status, message, reason, metadata)
  return { error = { code = code, status = status, message = message, details = reason and {
    { ["@type"] = "type.googleapis.com/google.rpc.ErrorInfo", reason = reason, metadata = metadata or {} } } or nil } }
end

local DISABLED = "Secret Manager API has not been used in project 77 before or it is disabled. Enable it by visiting "
  .. "https://console.developers.google.com/apis/api/secretmanager.googleapis.com/overview?project=77 then retry."

-- stage, status, body, the reason, what the hint must say
local CASES = {
  { "oidc", 401, { message = "no" }, "oidc_refused", "only while its job runs" },
  { "oidc", 500, { message = "boom" }, "oidc_busy", "again" },
  { "sts", 400, oauth("unauthorized_client", "The given credential is rejected by the attribute condition."),
    "attribute_condition", "repository=acme/app ref=refs/heads/topic" },
  { "sts", 400, oauth("invalid_target", 'The target service indicated by the "audience" parameters is invalid.'),
    "provider", "project's number" },
  { "sts", 400, oauth("invalid_grant", "ID Token issued at 1 is stale to sign-in."), "oidc_expired", "five minutes" },
  { "sts", 400, oauth("invalid_grant", "The audience in ID Token [other] does not match the expected audience."),
    "audience_mismatch", "https://iam.googleapis.com/projects/1/x" },
  { "sts", 400, oauth("invalid_grant", "The issuer in ID Token x does not match the expected ones: y"), "issuer",
    "https://i" },
  { "sts", 400, oauth("invalid_grant", "The token was issued in the future"), "clock_skew", "clock" },
  { "sts", 400, oauth("invalid_request", "The size of mapped attribute google.subject exceeds the 127 bytes limit."),
    "mapping", "127 bytes" },
  { "sts", 400, oauth("invalid_request", "Unable to parse the ID Token."), "sts_header", "subject_token_type" },
  { "iam", 403, api(403, "PERMISSION_DENIED",
    "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
    "IAM_PERMISSION_DENIED"), "token_creator", "principalSet://iam.googleapis.com/projects/1/locations/global/"
    .. "workloadIdentityPools/p/attribute.repository/acme/app" },
  { "iam", 404, api(404, "NOT_FOUND", "Not found; Gaia id not found for email x"), "account_gone", "NAME@PROJECT" },
  { "iam", 400, api(400, "INVALID_ARGUMENT", "The access token lifetime cannot exceed 3600 seconds."), "lifetime",
    "lower `lifetime`" },
  { "oauth2", 400, oauth("invalid_grant", "Token has been expired or revoked."), "refresh_token", "sign in again" },
  { "oauth2", 400, oauth("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
    .. "reasonable timeframe. Check your iat and exp values in the JWT claim."), "clock_skew", "NTP" },
  { "oauth2", 400, oauth("invalid_grant", "Invalid JWT Signature."), "key_gone", "federation" },
  { "secret", 403, api(403, "PERMISSION_DENIED", DISABLED, "SERVICE_DISABLED",
    { service = "secretmanager.googleapis.com", consumer = "projects/77" }), "api_disabled", 'quota_project = "acme"' },
  { "secret", 403, api(403, "PERMISSION_DENIED", DISABLED), "api_disabled",
    "gcloud services enable secretmanager.googleapis.com --project 77" },
  { "secret", 403, api(403, "PERMISSION_DENIED", "Permission 'secretmanager.versions.access' denied for resource 'x' "
    .. "(or it may not exist)."), "secret_permission", "secretAccessor" },
  { "secret", 403, api(403, "PERMISSION_DENIED", "Caller does not have required permission to use project p.",
    "USER_PROJECT_DENIED"), "quota_project", "serviceUsageConsumer" },
  { "secret", 400, api(400, "INVALID_ARGUMENT", "Project 'projects/x' not found or deleted.", "USER_PROJECT_DENIED"),
    "quota_project", "correct `quota_project`" },
  { "secret", 404, api(404, "NOT_FOUND", "Secret [projects/1/secrets/X] not found or has no versions."),
    "secret_not_found", "gcloud secrets list" },
  { "secret", 404, api(404, "NOT_FOUND", "Secret Version [projects/1/secrets/X/versions/9] not found."),
    "version_not_found", "versions list" },
  { "secret", 400, api(400, "FAILED_PRECONDITION", "Secret Version [x] is in DISABLED state."), "version_disabled",
    "enable it" },
  { "secret", 400, api(400, "FAILED_PRECONDITION", "Secret Version [x] is in DESTROYED state."), "version_destroyed",
    "add a version" },
  { "secret", 403, api(403, "PERMISSION_DENIED", "Request is prohibited by organization's policy. vpcServiceControls"
    .. "UniqueIdentifier: x"), "perimeter", "ingress" },
  { "secret", 401, api(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."), "expired",
    "expired" },
  { "secret", 429, api(429, "RESOURCE_EXHAUSTED", "Quota exceeded", "RATE_LIMIT_EXCEEDED"), "rate", "later" },
  { "metadata", 404, "not found", "no_service_account", "attach" },
}

local function make(case, skew, facts)
  local body = type(case[3]) == "string" and case[3] or ""
  return refusal.make(case[1], "cannot", { status = case[2], body = body, tries = 1, skew = skew,
    json = type(case[3]) == "table" and case[3] or nil }, facts or FACTS)
end

describe("gcp.refusal", function()
  for _, case in ipairs(CASES) do
    it(("R134 R135 tells %s apart at %s and says what to change"):format(case[4], case[1]), function()
      local err = make(case)
      assert.equal(case[4], err.reason)
      assert.is_true((err.hint or ""):find(case[5], 1, true) ~= nil, err.hint)
      assert.equal(case[2] >= 429 and 4 or 2, errors.exit_code(err))
      assert.matches("^HTTP " .. case[2], err.detail)
    end)
  end

  it("says by how much the clock is wrong when that may be why", function()
    local err = make(CASES[5], 400)
    assert.matches("the clock of this machine is 400 s ahead of the server's", err.hint, 1, true)
    assert.matches("behind", make(CASES[5], -90).hint, 1, true)
    assert.not_matches("clock of this machine", make(CASES[5], 3).hint, 1, true)
    assert.not_matches("clock of this machine", make(CASES[3], 400).hint, 1, true)
  end)

  it("has an answer to pages, to nothing and to what nobody knows", function()
    local err = refusal.make("sts", "cannot", { status = 404, body = "<!DOCTYPE html><title>Error", tries = 1 }, {})
    assert.same({ "endpoint", 2 }, { err.reason, errors.exit_code(err) })
    assert.equal("HTTP 404 with a page instead of JSON", err.detail)
    err = refusal.make("secret", "cannot", { status = 418, body = "", tries = 1, json = { error = 5 } }, {})
    assert.same({ "unknown", "http", "cannot: HTTP 418" }, { err.reason, err.code, err.message })
  end)

  it("finds a hint for every rule even when nothing is known of the request", function()
    for _, case in ipairs(CASES) do
      local facts = { service_account = "a@b", project = "p", name = "n", secret = "s", version = "1" }
      assert.equal(case[4], make(case, nil, facts).reason)
    end
  end)
end)
