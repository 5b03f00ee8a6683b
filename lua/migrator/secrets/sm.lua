---Google's Secret Manager: sm://PROJECT/NAME[/VERSION], or a resource's full name (projects/P/[locations/L/]secrets/N
---[/versions/V]).
local base64 = require "migrator.lib.base64"
local crc32c = require "migrator.lib.crc32c"
local errors = require "migrator.error"
local gcp = require("migrator.lib.lazy").require "migrator.gcp"
local web = require "migrator.web"

local function refuse(why, hint, reason)
  errors.raise("config", { message = "cannot read the secret: " .. why, hint = hint, reason = reason })
end

---@param rest string
---@return { project: string, location?: string, name: string, version: string }
local function parse(rest)
  local path, version = rest:match("^(projects/.-)/versions/([^/]+)$")
  path = path or rest
  local project, location, name = path:match("^projects/([^/]+)/locations/([^/]+)/secrets/([^/]+)$")
  if not project then project, name = path:match("^projects/([^/]+)/secrets/([^/]+)$") end
  if not project and not rest:find("^projects/") then
    project, name, version = rest:match("^([^/]+)/([^/]+)/?([^/]*)$")
  end
  if version == nil or version == "" then version = "latest" end
  local well = project and project:find("^[%w.:-]+$") and name:find("^[%w_-]+$") and version:find("^[%w_-]+$")
    and (location or "x"):find("^[%w-]+$")
  if not well then
    refuse("its name is not PROJECT/NAME or PROJECT/NAME/VERSION", "sm://acme-prod/DATABASE_URL, or with a version: "
      .. "sm://acme-prod/DATABASE_URL/3", "secret_name")
  end
  return { project = project, location = location, name = name, version = version }
end

local function url_of(source, at)
  local base = source.cx.endpoints.secretmanager
  if not at.location then
    return ("%s/v1/projects/%s/secrets/%s/versions/%s:access"):format(base, at.project, at.name, at.version)
  end
  if not source.cx.endpoints.explicit.secretmanager then
    base = ("https://secretmanager.%s.rep.%s"):format(at.location, source.cx.endpoints.universe)
  end
  return ("%s/v1/projects/%s/locations/%s/secrets/%s/versions/%s:access"):format(base, at.project, at.location, at.name,
    at.version)
end

local function access(source, at, ctx)
  local request = { url = url_of(source, at), headers = source:headers(ctx.deadline) }
  local opts = { deadline = ctx.deadline, note = ctx.note, what = "Secret Manager" }
  local answer = web.send(request, opts)
  -- A token may be withdrawn before its time: one more try with a new one.
  if answer.status == 401 and source:forget() then
    request.headers = source:headers(ctx.deadline)
    answer = web.send(request, opts)
  end
  if answer.status == 200 then return answer.json end
  gcp.refuse("secret", "cannot read the secret", answer, { secret = ("secret %s of project %s"):format(at.name,
    at.project), name = at.name, project = at.project, version = at.version, principal = source:principal(),
    quota_project = source.quota_project, fixed = source.fixed })
end

local function text_of(json)
  local payload = type(json) == "table" and type(json.payload) == "table" and json.payload or {}
  local bytes = type(payload.data) == "string" and base64.decode(payload.data)
  if not bytes then
    errors.raise("http", { message = "cannot read the secret: the answer has no payload", reason = "bad_answer",
      hint = "it is not what Secret Manager says: is something in between (a proxy, the sign-in page of a network)?" })
  end
  -- Versions that are older than the checksum have none.
  local wanted = payload.dataCrc32c ~= nil and math.tointeger(tonumber(payload.dataCrc32c)) or nil
  if payload.dataCrc32c ~= nil and wanted ~= crc32c(bytes) then
    errors.raise("http", { message = "cannot read the secret: it was damaged on the way: its checksum does not fit",
      hint = "run again", reason = "checksum" })
  end
  return bytes
end

---@param rest string
---@param ctx migrator.SecretContext
---@return string bytes
---@return string? version its number, also when `latest` was asked for
return function(rest, ctx)
  local at = parse(rest)
  local source = ctx.given.auth or gcp.current { environment = ctx.environment, note = ctx.note,
    deadline = ctx.deadline }
  local json = access(source, at, ctx)
  local bytes = text_of(json)
  return bytes, type(json.name) == "string" and json.name:match("/versions/([^/]+)$") or nil
end
