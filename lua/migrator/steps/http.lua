---steps.http { url = …, body = … }: is what was deployed well? Status and body: a service that answers 200 and says
---"degraded" is not. Asked again until it is, or until the time is over.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local cut = require("migrator.lib.text").cut
local duration = require "migrator.lib.duration"
local errors = require "migrator.error"
local http = require "migrator.core.http"
local options = require "migrator.steps.options"

local KNOWN = { url = "string!", status = "number table", body = "string function", timeout = "duration",
  every = "pause", headers = "table", name = "string", method = "string" }
local LONGEST = 10 -- seconds for one answer
local SHOWN = 200 -- bytes of a body in a message
local HEALTHY = { ok = true, healthy = true, pass = true, up = true, green = true, alive = true, ready = true,
  serving = true, success = true }

local function show(url) return (url:gsub("^(%a+://)[^/?#]*@", "%1"):gsub("[?#].*", "")) end

-- A service may say it in one word, as text: such a word is believed when it is bad.
local UNWELL = { degraded = true, unhealthy = true, down = true, fail = true, failed = true, failing = true,
  error = true, critical = true, unavailable = true }
local SAYS = { status = true, health = true, state = true }

---What a body says of itself; whatever is neither JSON nor such a word, or says nothing, has only its status.
local function find_complaint(body)
  body = body:gsub("^\239\187\191", "")
  local word = body:match '^%s*"?(%a+)"?%s*$'
  if word and UNWELL[word:lower()] then return "it says " .. word end
  local ok, value = pcall(cjson.decode, body)
  for key, said in pairs(ok and type(value) == "table" and value or {}) do
    if SAYS[tostring(key):lower()] and (said == false or type(said) == "string" and not HEALTHY[said:lower()]) then
      return ("its %s is %s"):format(key, tostring(said))
    end
  end
end

local function check_status(answer, wanted)
  for _, status in ipairs(type(wanted) == "table" and wanted or { wanted }) do
    if answer.status == status then return nil end
  end
  return ("status %d"):format(answer.status)
end

local function check_body(answer, body)
  if type(body) == "string" then
    return not answer.body:find(body) and ("the body does not match %q"):format(body) or nil
  elseif body == nil then
    return find_complaint(answer.body)
  end
  local ok, verdict, why = pcall(body, answer.body, answer)
  if not ok then error(errors.wrap(verdict, "script"), 0) end
  return not verdict and (why and tostring(why) or "the script's function did not accept the body") or nil
end

---@return string|nil complaint, boolean answered
local function ask(opts, deadline)
  local ok, answer = pcall(http.request, { url = opts.url, method = opts.method, headers = opts.headers,
    deadline = math.min(clock.deadline(LONGEST), deadline) })
  if not ok then
    if errors.is(answer, "http") or errors.is(answer, "timeout") then return answer.message, false end
    error(answer, 0)
  end
  local complaint = check_status(answer, opts.status) or check_body(answer, opts.body)
  return complaint and complaint .. (answer.body ~= "" and ": " .. cut(answer.body:gsub("%s+", " "), SHOWN) or ""), true
end

local function check_options(opts)
  opts.status, opts.timeout, opts.every = opts.status or 200, opts.timeout or 60, opts.every or 2
  if not opts.url:find("^https?://[^/]") then
    errors.raise("script", { message = ("steps.http: url = %q is not an http address"):format(show(opts.url)),
      step = "http" })
  elseif type(opts.body) == "string" and not pcall(string.find, "", opts.body) then
    errors.raise("script", { message = ("steps.http: body = %q is not a pattern"):format(opts.body), step = "http" })
  end
end

return function(given)
  local opts = options.check("http", given, KNOWN)
  check_options(opts)
  return {
    name = opts.name or "http", options = opts,
    run = function(ctx)
      local started, tries = clock.now(), 0
      local deadline = math.min(clock.deadline(opts.timeout), ctx.deadline or math.huge)
      while true do
        tries = tries + 1
        local complaint, answered = ask(opts, deadline)
        local spent = ("%s (%d %s)"):format(duration.format(clock.now() - started), tries,
          tries == 1 and "try" or "tries")
        if not complaint then
          ctx.emit("note", { message = ("%s is well, after %s"):format(show(opts.url), spent) })
          return
        elseif clock.now() + opts.every >= deadline then
          errors.raise(answered and "verify" or "http", { message = ("%s is not well: %s"):format(show(opts.url),
            complaint), detail = "gave up after " .. spent,
            hint = "what was migrated stays; look at the log of the service" })
        end
        clock.sleep(opts.every)
      end
    end,
  }
end
