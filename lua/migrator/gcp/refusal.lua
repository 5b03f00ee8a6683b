---Answers that are a "no", made into errors that say what to change. The catalogue is data: refusals.lua.
local errors = require "migrator.error"
local rules = require "migrator.gcp.refusals"

local M = {}

local SKEW_SECONDS = 30

local function text_of(value) return type(value) == "string" and value or nil end

local function read_details(found, details)
  for _, item in ipairs(type(details) == "table" and details or {}) do
    if type(item) == "table" and text_of(item.reason) then
      found.reason = item.reason
      local metadata = type(item.metadata) == "table" and item.metadata or {}
      found.consumer = (text_of(metadata.consumer) or ""):match("^projects/(.+)$")
      found.service, found.permission = text_of(metadata.service), text_of(metadata.permission)
    end
  end
end

---What an answer says, whichever of the two shapes of errors it has; a front end may have answered in HTML.
---@param answer migrator.WebAnswer
---@return table found status, code, reason, message, consumer, service, permission
function M.read(answer)
  local json = type(answer.json) == "table" and answer.json or {}
  local found = { status = answer.status, message = "" }
  if type(json.error) == "table" then
    found.code, found.message = text_of(json.error.status), text_of(json.error.message) or ""
    read_details(found, json.error.details)
    local first = type(json.error.errors) == "table" and json.error.errors[1]
    if not found.reason and type(first) == "table" then found.reason = text_of(first.reason) end
  elseif text_of(json.error) then
    found.code, found.message = json.error, text_of(json.error_description) or text_of(json.error_subtype) or ""
  elseif text_of(json.message) then
    found.message = json.message
  elseif answer.body:find("^%s*<") then
    found.html = true
  else
    found.message = answer.body:match("^[^\r\n]*"):sub(1, 200)
  end
  found.lower = found.message:lower()
  return found
end

local function matches(rule, stage, found)
  if rule.stage and not (" " .. rule.stage .. " "):find(" " .. stage .. " ", 1, true) then return false end
  if rule.status and rule.status ~= found.status then return false end
  if rule.code and rule.code ~= found.code then return false end
  if rule.reason and not (found.reason and (" " .. rule.reason .. " "):find(" " .. found.reason .. " ", 1, true)) then
    return false
  end
  if not rule.text then return true end
  for _, pattern in ipairs(rule.text) do
    if found.lower:find(pattern) then return true end
  end
  return false
end

---Our clock, when it is far from the server's: the cause of half of all "expired".
---@param skew number?
---@return string?
function M.skew(skew)
  if not skew or math.abs(skew) < SKEW_SECONDS then return nil end
  return ("the clock of this machine is %d s %s the server's: set it (NTP)"):format(math.floor(math.abs(skew) + 0.5),
    skew > 0 and "ahead of" or "behind")
end

local function describe(found, answer)
  if found.html then return ("HTTP %d with a page instead of JSON"):format(found.status) end
  local said = found.message ~= "" and found.message or "nothing more was said"
  local detail = ("HTTP %d%s%s: %s"):format(found.status, found.code and " " .. found.code or "",
    found.reason and " " .. found.reason or "", said)
  if answer.tries > 1 then detail = detail .. (" (tried %d times)"):format(answer.tries) end
  return detail
end

-- What is known of an answer that no rule knows.
local function hint_of(found)
  if found.html or found.status < 300 then
    return "that is not what the service says: is something in between (a proxy, the sign-in page of a network)?"
  elseif found.status < 400 then
    return "it sends us to another address, where no token is taken: is the endpoint right?"
  end
end

local function say(part, facts, found)
  if type(part) == "function" then return part(facts, found) end
  return part
end

---@param stage "oidc"|"sts"|"iam"|"oauth2"|"metadata"|"secret"
---@param what string what was tried, for the message
---@param answer migrator.WebAnswer
---@param facts table what the catalogue's hints speak of
---@return migrator.Error not raised; its `reason` is one of the catalogue's
function M.make(stage, what, answer, facts)
  local found = M.read(answer)
  for _, rule in ipairs(rules) do
    if matches(rule, stage, found) then
      local hint, skew = say(rule.hint, facts, found), M.skew(answer.skew)
      if skew and (rule.time or not hint) then hint = skew .. (hint and "; else " .. hint or "") end
      return errors.new(rule.fails or "config", { message = what .. ": " .. say(rule.why, facts, found), hint = hint,
        detail = describe(found, answer), reason = rule.name, status = found.status })
    end
  end
  return errors.new("http", { message = ("%s: HTTP %d"):format(what, found.status),
    hint = M.skew(answer.skew) or hint_of(found),
    detail = describe(found, answer), reason = "unknown", status = found.status })
end

return M
