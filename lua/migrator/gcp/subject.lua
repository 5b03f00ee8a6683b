---Where an `external_account` file says that the token to exchange comes from: a URL, a file, or a program.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local process = require "migrator.core.process"
local tables = require "migrator.lib.tables"
local ways_in = require "migrator.lib.ways_in"
local web = require "migrator.web"

local M = {}

local LIMIT = 65536
local LINK_LOCAL = { ["169.254.169.254"] = true, ["metadata.google.internal"] = true, ["[fd00:ec2::254]"] = true }

local function refuse(why, hint, reason)
  errors.raise("config", { message = "cannot get the token to exchange: " .. why, hint = hint,
    reason = reason or "subject" })
end

local function field_of(text, format, from)
  local kind = type(format) == "table" and type(format.type) == "string" and format.type or "text"
  if kind == "text" then return text:match("^%s*(.-)%s*$") end
  if kind ~= "json" then refuse(("the format %q is not known"):format(kind)) end
  local name, json = format.subject_token_field_name, web.decode(text)
  local value = type(json) == "table" and name and json[name]
  if type(value) ~= "string" then refuse(("%s has no field %q"):format(from, tostring(name))) end
  return value
end

local function from_url(cx, source, deadline)
  local scheme, host, loopback = web.split(source.url)
  if scheme ~= "https" and not (scheme == "http" and (loopback or LINK_LOCAL[host])) then
    refuse(("credential_source.url is not https (%s)"):format(host or "?"), nil, "plain_http")
  end
  local headers = {}
  for name, value in pairs(type(source.headers) == "table" and source.headers or {}) do
    headers[name] = tostring(value)
    cx.hide(headers[name]:match("^%a+ (.+)$") or headers[name])
  end
  local answer = web.send({ url = source.url, headers = headers },
    { deadline = deadline, note = cx.note, what = "token to exchange" })
  if answer.status ~= 200 then
    refuse(("%s answered HTTP %d"):format(host, answer.status), answer.status < 500
      and "the token in the file's headers is good only while its job runs: make the file again" or nil)
  end
  return field_of(answer.body, source.format, "the answer of " .. host)
end

-- As a shell would split it, but nothing is expanded.
local function words_of(command)
  local out, word, quote = {}, nil, nil
  for c in command:gmatch(".") do
    if quote then
      if c == quote then quote = nil else word = word .. c end
    elseif c == '"' or c == "'" then
      quote, word = c, word or ""
    elseif c:find("%s") then
      if word then out[#out + 1] = word end
      word = nil
    else
      word = (word or "") .. c
    end
  end
  if word then out[#out + 1] = word end
  return out
end

local function read_said(text)
  local said = web.decode(text)
  if type(said) ~= "table" or type(said.success) ~= "boolean" then
    refuse("the program's answer is not the JSON that it should be")
  end
  if not said.success then
    local function show(value) return type(value) == "string" and value or "(nothing)" end
    refuse(("the program says %s: %s"):format(show(said.code), show(said.message)))
  end
  local ends = tonumber(said.expiration_time)
  if ends and ends < clock.wall() / 1000 then refuse("the program's token has expired", nil, "oidc_expired") end
  local value = said.id_token or said.saml_response
  if type(value) ~= "string" or value == "" then refuse("the program's answer has no token") end
  return value
end

local function from_program(cx, file, deadline)
  local asked = file.credential_source.executable
  if cx.environment.GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES ~= "1" then
    refuse("the credentials file wants to run a program, which is not allowed",
      "set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 if you trust the file", "executable")
  end
  local cmd = words_of(type(asked.command) == "string" and asked.command or "")
  if #cmd == 0 then refuse "the credentials file names no program" end
  if type(asked.output_file) == "string" and fs.find(asked.output_file) then
    local ok, kept = pcall(read_said, fs.read(asked.output_file, LIMIT))
    if ok then return kept end
  end
  local seconds = math.min(math.max((tonumber(asked.timeout_millis) or 30000) / 1000, 5), 120)
  local email = (file.service_account_impersonation_url or ""):match("serviceAccounts/([^:/]+)")
  local last = math.min(deadline or math.huge, clock.deadline(seconds))
  local env = tables.join(ways_in.withheld(cx.environment), { GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE = file.audience,
    GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE = file.subject_token_type, GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE = "0",
    GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL = email, GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE = asked.output_file })
  local started, ran = pcall(process.run, { cmd = cmd, deadline = last, env = env, max_output = LIMIT })
  if not started then
    if errors.is(ran, "script") then refuse(ran.message) end
    error(ran, 0)
  end
  if ran.code ~= 0 then refuse(("%s exited with %d"):format(cmd[1], ran.code)) end
  return read_said(ran.stdout)
end

---@param file table the credentials file
---@return fun(cx: migrator.GcpContext, deadline?: number): string
function M.of(file)
  local source = type(file.credential_source) == "table" and file.credential_source or {}
  local fetch
  if type(source.url) == "string" and not source.environment_id then
    fetch = function(cx, deadline) return from_url(cx, source, deadline) end
  elseif type(source.file) == "string" then
    fetch = function() return field_of(fs.read(source.file, LIMIT), source.format, source.file) end
  elseif type(source.executable) == "table" then
    fetch = function(cx, deadline) return from_program(cx, file, deadline) end
  else
    refuse(source.environment_id and "AWS's own sources are not supported"
      or "credential_source has neither url nor file nor executable")
  end
  return function(cx, deadline)
    local value = fetch(cx, deadline)
    if value == "" then refuse "it is empty" end
    cx.hide(value)
    return value
  end
end

return M
