---HashiCorp Vault, or OpenBao: vault://MOUNT/PATH#FIELD of a KV engine of version 2, `?version=N` before the #. VAULT_ADDR
---says where it is, VAULT_TOKEN or the file ~/.vault-token who asks; VAULT_NAMESPACE and VAULT_CACERT as its own program.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local web = require "migrator.web"

local function refuse(why, hint, reason)
  errors.raise("config", { message = "cannot read the secret from Vault: " .. why, hint = hint, reason = reason })
end

local function parse(rest)
  local path, field = rest:match("^([^#]+)#([^#]+)$")
  local version
  if path and path:find("?", 1, true) then path, version = path:match("^([^?]+)%?version=(%d+)$") end
  local mount, name = (path or ""):match("^([%w_.-]+)/([%w_./-]+)$")
  if not mount or name:find("..", 1, true) then
    refuse("its name is not MOUNT/PATH#FIELD", "vault://secret/production/database#url", "secret_name")
  end
  return { mount = mount, name = name, field = field, version = version }
end

local function address(environment)
  local base = environment.VAULT_ADDR
  if base == nil or base == "" then refuse("VAULT_ADDR is not set", nil, "vault_address") end
  local scheme, host, loopback = web.split(base)
  if scheme ~= "https" and not (scheme == "http" and loopback) then
    refuse(("VAULT_ADDR would send the token unencrypted to %s"):format(host or "?"), "use https://", "plain_http")
  end
  return (base:gsub("/+$", ""))
end

local function token_of(environment)
  local token = environment.VAULT_TOKEN
  local path = environment.HOME and environment.HOME .. "/.vault-token"
  if (token == nil or token == "") and path and fs.find(path) then token = fs.read(path, 4096) end
  token = (token or ""):match("^%s*(.-)%s*$")
  if token == "" then refuse("VAULT_TOKEN is not set", "log in first (vault login, or the CI's JWT)", "vault_token") end
  require("migrator.ci").mask(token)
  return token
end

local function explain(at, answer)
  local json = type(answer.json) == "table" and answer.json or {}
  local said = type(json.errors) == "table" and table.concat(json.errors, "; ") or ""
  local metadata = type(json.data) == "table" and type(json.data.metadata) == "table" and json.data.metadata or {}
  local where = at.mount .. "/" .. at.name
  local detail = ("HTTP %d%s"):format(answer.status, said ~= "" and ": " .. said or "")
  local function raise(code, why, hint, reason)
    errors.raise(code, { message = "cannot read the secret from Vault: " .. why, hint = hint, reason = reason,
      detail = detail, status = answer.status })
  end
  if answer.status == 403 then
    raise("config", ("the token may not read %s, or it has expired"):format(where),
      ('a policy needs: path "%s/data/%s" { capabilities = ["read"] }'):format(at.mount, at.name), "vault_denied")
  elseif answer.status == 404 and metadata.destroyed == true then
    raise("config", ("version %s of %s is destroyed"):format(tostring(metadata.version), where), nil,
      "version_destroyed")
  elseif answer.status == 404 and type(metadata.deletion_time) == "string" and metadata.deletion_time ~= "" then
    raise("config", ("version %s of %s is deleted"):format(tostring(metadata.version), where),
      ("vault kv undelete -versions=%s %s"):format(tostring(metadata.version), where), "version_deleted")
  elseif answer.status == 404 then
    raise("config", ("there is no %s"):format(where), "is the mount a KV engine of version 2?", "secret_not_found")
  elseif answer.status == 503 then
    raise("http", "it is sealed, or a standby", nil, "vault_sealed")
  end
  raise("http", ("HTTP %d"):format(answer.status), nil, "unknown")
end

---@param rest string
---@param ctx migrator.SecretContext
---@return string text
---@return string? version
return function(rest, ctx)
  local at, environment = parse(rest), ctx.environment
  local headers = { ["X-Vault-Token"] = token_of(environment), ["X-Vault-Request"] = "true" }
  local namespace, ca_file = environment.VAULT_NAMESPACE, environment.VAULT_CACERT
  if namespace and namespace ~= "" then headers["X-Vault-Namespace"] = namespace end
  local answer = web.send({ url = ("%s/v1/%s/data/%s%s"):format(address(environment), at.mount, at.name,
    at.version and "?version=" .. at.version or ""), headers = headers, ca_file = ca_file ~= "" and ca_file or nil },
    { deadline = ctx.deadline, note = ctx.note, what = "Vault" })
  if answer.status ~= 200 then explain(at, answer) end
  local data = type(answer.json) == "table" and type(answer.json.data) == "table" and answer.json.data or {}
  local value = type(data.data) == "table" and data.data[at.field]
  if type(value) ~= "string" then
    refuse(("%s/%s has no field %q that is a text"):format(at.mount, at.name, at.field), nil, "vault_field")
  end
  local version = type(data.metadata) == "table" and math.tointeger(data.metadata.version)
  return value, version and tostring(version) or nil
end
