---What a "no" means, the most particular first. A rule fits when all that it names does: `stage` one of the words,
---`status`, `code` (OAuth's `error` or the API's status), `reason` one of the words, `text` one of the patterns in the
---message in lower case. `why` and `hint` are texts, or functions of what we asked for and what was answered.
---`time`: a wrong clock may be behind it. `fails`: code of the error, `config` unless said.
local function quoted(value, otherwise) return value and ("%q"):format(value) or otherwise end

local function member(facts)
  local pool = (facts.provider or ""):match("^(.-/workloadIdentityPools/[^/]+)") or "projects/NUMBER/…/POOL"
  local who = facts.claims and facts.claims.repository
  return ("principalSet://iam.googleapis.com/%s/%s"):format(pool, who and "attribute.repository/" .. who or "*")
end

local function claims(facts)
  local list = {}
  for _, name in ipairs { "repository", "ref", "event_name", "sub", "project_path" } do
    local value = facts.claims and facts.claims[name]
    if type(value) == "string" then list[#list + 1] = name .. "=" .. value end
  end
  return #list > 0 and table.concat(list, " ") or "(its claims cannot be read)"
end

local function grant(facts)
  if facts.federated then
    return ("grant roles/iam.workloadIdentityUser on %s to %s; a new grant takes up to five minutes"):format(
      facts.service_account, member(facts))
  end
  return ("grant roles/iam.serviceAccountTokenCreator on %s to the account that asks; a new grant takes up to five "
    .. "minutes"):format(facts.service_account)
end

local function api(found)
  return found.service or found.message:match("/api/([%w.]+)/") or found.message:match("^(.-) has not been used")
    or "the API"
end

local function api_project(found)
  return found.consumer or found.message:match("in project ([%w.:-]+)") or found.message:match("project=([%w.:-]+)")
end

local function disabled_why(_, found)
  return ("%s is not enabled in project %s"):format(api(found), api_project(found) or "of the account")
end

local function disabled_hint(facts, found)
  local project = api_project(found)
  local enable = ("enable it: gcloud services enable %s --project %s"):format(api(found), project or "PROJECT")
  if facts.quota_project or not facts.project or project == facts.project then return enable end
  return ("%s is the account's own project: set quota_project = %q so that %s counts; or %s"):format(
    project or "this", facts.project, facts.project, enable)
end

return {
  { name = "oidc_busy", stage = "oidc", status = 500, fails = "http", why = "GitHub's token service failed",
    hint = "run the job again; githubstatus.com says whether it is down" },
  { name = "oidc_refused", stage = "oidc", status = 401, why = "the runner's own token was refused",
    hint = "ACTIONS_ID_TOKEN_REQUEST_TOKEN is good only while its job runs: do not hand it to another job or keep it" },
  { name = "oidc_refused", stage = "oidc", status = 403, why = "the job may not ask for a token",
    hint = "add `permissions: id-token: write` to the job" },

  { name = "attribute_condition", stage = "sts", code = "unauthorized_client",
    why = "the provider's attribute condition rejects this job",
    hint = function(facts)
      return ("change the condition of the provider, or run from where it allows; this job is %s"):format(claims(facts))
    end },
  { name = "provider", stage = "sts", code = "invalid_target",
    why = function(facts) return ("there is no such provider, or it is disabled: %s"):format(facts.provider or "?") end,
    hint = "it is projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER: the project's "
      .. "number, not its name, and the provider, not the pool; see "
      .. "`gcloud iam workload-identity-pools providers describe`" },
  { name = "oidc_expired", stage = "sts", code = "invalid_grant", text = { "expired", "stale", "too old" },
    time = true,
    why = "the OIDC token has expired", hint = "it lives five minutes: ask for it in the same job, right before this" },
  { name = "clock_skew", stage = "sts", code = "invalid_grant", time = true,
    text = { "in the future", "not yet valid", "too early", "not before", "%f[%w]iat%f[%W]", "%f[%w]nbf%f[%W]" },
    why = "the OIDC token is from the future", hint = "the clock of who made the token is ahead; run again" },
  { name = "audience_mismatch", stage = "sts", code = "invalid_grant", text = { "audience" },
    why = function(facts)
      local aud = facts.claims and facts.claims.aud
      return ("the token is for another audience%s"):format(type(aud) == "string" and (" (%s)"):format(aud) or "")
    end,
    hint = function(facts)
      return ("ask for the audience https:%s, or allow the other one: `--allowed-audiences` of the provider"):format(
        facts.audience or "//iam.googleapis.com/PROVIDER")
    end },
  { name = "issuer", stage = "sts", code = "invalid_grant", text = { "issuer" },
    why = "the token's issuer is not the provider's",
    hint = function(facts)
      local iss = facts.claims and facts.claims.iss
      return ("set `--issuer-uri` of the provider to %s"):format(type(iss) == "string" and iss or "the token's issuer")
    end },
  { name = "mapping", stage = "sts", text = { "mapped attribute", "google%.subject", "attribute mapping" },
    why = "the provider's attribute mapping does not fit the token",
    hint = "`google.subject=assertion.sub` gives at most 127 bytes: map something shorter" },
  { name = "oidc_token", stage = "sts", code = "invalid_grant", time = true, why = "the token was refused",
    hint = "is it an ID token of the issuer that the provider names?" },
  { name = "sts_header", stage = "sts", code = "invalid_request", why = "the request or the token is malformed",
    hint = "is the subject token the kind that `subject_token_type` says, and whole?" },
  { name = "sts_client", stage = "sts", code = "invalid_client", why = "the client's id or secret is wrong" },

  { name = "refresh_token", stage = "oauth2", code = "invalid_grant",
    text = { "revoked", "expired or", "rapt", "reauth" },
    why = "the refresh token is no longer good", hint = "sign in again: gcloud auth application-default login" },
  { name = "clock_skew", stage = "oauth2", code = "invalid_grant", time = true,
    text = { "iat and exp", "timeframe", "short%-lived" },
    why = "the key's signed request has a wrong time", hint = "set the clock of this machine (NTP)" },
  { name = "key_gone", stage = "oauth2", code = "invalid_grant", text = { "jwt signature", "invalid signature" },
    why = "the service account's key is not known",
    hint = "it was deleted or has expired; use workload identity federation instead of a new key" },
  { name = "account_gone", stage = "oauth2", code = "invalid_grant",
    text = { "account not found", "invalid_gaia", "email" },
    why = "there is no such service account", hint = "it was deleted, or the file is of another project" },
  { name = "oauth2_client", stage = "oauth2", code = "invalid_client", why = "the client's id or secret is wrong",
    hint = "make the file again: gcloud auth application-default login" },
  { name = "oauth2_refused", stage = "oauth2", code = "invalid_grant", time = true,
    why = "the credentials were refused" },

  { name = "no_service_account", stage = "metadata", status = 404, why = "this machine has no service account",
    hint = "attach one to the instance, or to the node pool" },
  { name = "metadata_refused", stage = "metadata", status = 403, why = "the metadata server refused",
    hint = "is workload identity of the cluster set up for this pod's service account?" },

  { name = "quota_project", reason = "USER_PROJECT_DENIED", text = { "not found or deleted" },
    why = function(facts)
      return ("there is no quota project %s"):format(quoted(facts.quota_project, "of that name"))
    end,
    hint = "correct `quota_project` (GOOGLE_CLOUD_QUOTA_PROJECT)" },
  { name = "quota_project", reason = "USER_PROJECT_DENIED",
    why = function(facts)
      return ("the account may not use %s as its quota project"):format(quoted(facts.quota_project, "that project"))
    end,
    hint = function(facts)
      return ("grant it roles/serviceusage.serviceUsageConsumer on %s, or name another quota_project"):format(
        facts.quota_project or "the project")
    end },
  { name = "api_disabled", reason = "SERVICE_DISABLED accessNotConfigured", why = disabled_why, hint = disabled_hint },
  { name = "api_disabled", status = 403, text = { "has not been used in project" }, why = disabled_why,
    hint = disabled_hint },
  { name = "scope", reason = "ACCESS_TOKEN_SCOPE_INSUFFICIENT", why = "the token's scopes do not cover this",
    hint = "ask for https://www.googleapis.com/auth/cloud-platform; an instance has its scopes from when it was made" },
  { name = "billing", reason = "BILLING_DISABLED", why = "the project has no billing account",
    hint = "enable billing for the project" },
  { name = "perimeter", text = { "prohibited by organization", "vpc service controls" },
    why = "a VPC Service Controls perimeter is in the way",
    hint = "add an ingress rule for this account, or run inside it" },

  { name = "lifetime", stage = "iam", status = 400, text = { "lifetime" }, time = true,
    why = "a token may not live that long",
    hint = "at most 3600 s: lower `lifetime`, and see that the clock is right" },
  { name = "token_creator", stage = "iam", status = 403,
    why = function(facts) return ("it may not act as %s"):format(facts.service_account) end, hint = grant },
  { name = "account_gone", stage = "iam", status = 404,
    why = function(facts) return ("there is no service account %s"):format(facts.service_account) end,
    hint = "correct `service_account`: NAME@PROJECT.iam.gserviceaccount.com" },

  { name = "secret_permission", stage = "secret", status = 403,
    why = function(facts) return ("no permission to read %s, or there is no such secret"):format(facts.secret) end,
    hint = function(facts)
      return ("gcloud secrets add-iam-policy-binding %s --project %s --role roles/secretmanager.secretAccessor "
        .. "--member %s; a new grant takes up to five minutes"):format(facts.name, facts.project,
        facts.principal or "serviceAccount:ACCOUNT")
    end },
  { name = "version_not_found", stage = "secret", status = 404, text = { "secret version" },
    why = function(facts) return ("%s has no version %s"):format(facts.secret, facts.version) end,
    hint = function(facts)
      return ("gcloud secrets versions list %s --project %s"):format(facts.name, facts.project)
    end },
  { name = "secret_not_found", stage = "secret", status = 404, text = { "secret" },
    why = function(facts) return ("there is no %s, or it has no version"):format(facts.secret) end,
    hint = function(facts) return ("gcloud secrets list --project %s shows what there is"):format(facts.project) end },
  { name = "version_destroyed", stage = "secret", status = 400, text = { "destroyed" },
    why = function(facts) return ("version %s of %s is destroyed"):format(facts.version, facts.secret) end,
    hint = "`latest` is the newest version made, whatever its state: add a version, or name an older one" },
  { name = "version_disabled", stage = "secret", status = 400, text = { "disabled" },
    why = function(facts) return ("version %s of %s is disabled"):format(facts.version, facts.secret) end,
    hint = "`latest` is the newest version made, whatever its state: enable it, or name another" },

  { name = "expired", status = 401, time = true, why = "the access token was refused",
    hint = function(facts)
      return facts.fixed and "a given token is good for an hour at most: make a new one" or "it has expired, or is no "
        .. "access token of Google's"
    end },
  { name = "rate", status = 429, fails = "http", why = "too many requests", hint = "run again later" },
  { name = "endpoint", status = 404, text = { "^$" }, why = "there is nothing at this address",
    hint = "is the endpoint right?" },
  { name = "busy", status = 500, fails = "http", why = "the service failed", hint = "run again" },
  { name = "busy", status = 503, fails = "http", why = "the service is not available", hint = "run again" },
  { name = "busy", status = 502, fails = "http", why = "the service is not available", hint = "run again" },
  { name = "busy", status = 504, fails = "http", why = "the service did not answer in time", hint = "run again" },
}
