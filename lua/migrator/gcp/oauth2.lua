---Tokens of a person who signed in (refresh token), and of a service account's key (RFC 7523).
local base64 = require "migrator.lib.base64"
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local hash = require "migrator.core.hash"
local refusal = require "migrator.gcp.refusal"
local sts = require "migrator.gcp.sts"
local web = require "migrator.web"

local M = {}

local ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
local LIFETIME = 3600

local function post(cx, what, url, fields, deadline)
  local answer = web.send({ url = url, method = "POST", body = web.form(fields), headers = {
    ["Content-Type"] = "application/x-www-form-urlencoded", Accept = "application/json" } },
    { deadline = deadline, note = cx.note, what = "OAuth" })
  if answer.status ~= 200 then error(refusal.make("oauth2", what, answer, {}), 0) end
  return sts.read(cx, what, answer)
end

---@param cx migrator.GcpContext
---@param url string
---@param file { client_id: string, client_secret: string, refresh_token: string }
---@param deadline? number
---@return string token
---@return number seconds
function M.refresh(cx, url, file, deadline)
  return post(cx, "cannot refresh the token of the signed-in user", url, { grant_type = "refresh_token",
    client_id = file.client_id, client_secret = file.client_secret, refresh_token = file.refresh_token }, deadline)
end

---A JWT that the key signs.
---@param key { private_key: string, private_key_id?: string }
---@param claims table
---@return string
function M.sign(key, claims)
  local head = base64.encode_url(cjson.encode { alg = "RS256", typ = "JWT", kid = key.private_key_id })
  local text = head .. "." .. base64.encode_url(cjson.encode(claims))
  return text .. "." .. base64.encode_url(hash.sign_rs256(key.private_key, text))
end

---@param cx migrator.GcpContext
---@param url string
---@param key table what the key file says
---@param scopes string[]
---@param deadline? number
---@return string token
---@return number seconds
function M.assert(cx, url, key, scopes, deadline)
  local now = clock.wall() // 1000
  -- The audience is what the key was made for, also when the request goes to an endpoint of one's own.
  local jwt = M.sign(key, { iss = key.client_email, scope = table.concat(scopes, " "), aud = key.token_uri or url,
    iat = now, exp = now + LIFETIME })
  cx.hide(jwt)
  return post(cx, "cannot get a token with the service account's key", url, { grant_type = ASSERTION, assertion = jwt },
    deadline)
end

return M
