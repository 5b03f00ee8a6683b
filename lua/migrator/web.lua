---Requests to services that are sometimes busy: tried again with a back-off while it can help and while there is time.
---Every request sent through here must be safe to repeat.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local http = require "migrator.core.http"
local instant = require "migrator.lib.instant"

local M = {}

local TRIES, FIRST_PAUSE, LONGEST_PAUSE = 4, 0.5, 32
local TRY_SECONDS, CONNECT_SECONDS, ALL_SECONDS = 20, 10, 60
local BUSY = { [408] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true }

---@class migrator.WebAnswer
---@field status integer
---@field headers table<string, string>
---@field body string
---@field tries integer
---@field json? any the body, when it is JSON
---@field skew? number seconds that our clock is ahead of the answer's `Date`

---@param text any
---@return any value nil when it is not JSON
function M.decode(text)
  if type(text) ~= "string" then return nil end
  local ok, value = pcall(cjson.decode, text)
  if ok and value ~= cjson.null then return value end
  return nil
end

local function is_certificate(err)
  return err.message:find("certificate", 1, true) ~= nil or err.message:find("SSL peer", 1, true) ~= nil
end

local function worth_again(err)
  if errors.is(err, "timeout") then return true end
  return errors.is(err, "http") and not is_certificate(err) and not err.message:find("libcurl", 1, true)
    and not err.message:find("cannot re", 1, true) -- read the URL, request its scheme
    and not err.message:find("is larger than", 1, true)
end

local function add_hint(err)
  if not errors.is(err) or rawget(err, "hint") then return end
  if is_certificate(err) then
    err.hint = "is the machine's list of certificates there (package ca-certificates), its clock right, and no proxy "
      .. "between that puts its own certificate?"
  elseif err.message:find("resolve", 1, true) then
    err.hint = "the name is not found: is there a network, and is the endpoint's name right?"
  elseif err.message:find("onnect", 1, true) then
    err.hint = "nothing answers there: a firewall, a wrong port, or HTTPS_PROXY is missing"
  end
end

-- Half to one and a half of the pause: runs that failed together do not come back together.
local function jitter(seconds) return seconds * (0.5 + math.random()) end

local function asked_pause(answer)
  local value = answer and answer.headers["retry-after"]
  if not value then return nil end
  local at = instant.http(value)
  return tonumber(value) or (at and math.max(0, at - clock.wall() / 1000))
end

local function try_once(request, deadline)
  local copy = { deadline = math.min(deadline, clock.deadline(TRY_SECONDS)), connect_timeout = CONNECT_SECONDS }
  for key, value in pairs(request) do copy[key] = value end
  local ok, result = pcall(http.request, copy)
  if ok then return result end
  if not errors.is(result) then error(result, 0) end
  return nil, result
end

local function finish(answer, tries)
  answer.tries, answer.json = tries, M.decode(answer.body)
  local date = instant.http(answer.headers.date)
  answer.skew = date and clock.wall() / 1000 - date or nil
  return answer
end

-- A line end in a value would begin another header. It came with a token, a project or a file: no script is at fault.
local function check_headers(headers, what)
  for name, value in pairs(headers or {}) do
    if value:find("%c") then
      errors.raise("config", { message = ("%s: what the header %s is to hold has control characters in it"):format(
        what or "request", name), hint = "a line end came along with the token, the variable or the file" })
    end
  end
end

---Sends a request. A status is an answer, also a bad one after the last try.
---Raises `http`, `timeout` and `interrupted` as `http.request` does.
---@param request migrator.HttpRequest
---@param opts? { deadline?: number, tries?: integer, note?: fun(text: string), what?: string }
---@return migrator.WebAnswer
function M.send(request, opts)
  opts = opts or {}
  check_headers(request.headers, opts.what)
  local deadline = opts.deadline or clock.deadline(ALL_SECONDS)
  local tries, pause = 0, FIRST_PAUSE
  while true do
    tries = tries + 1
    local answer, err = try_once(request, deadline)
    if answer and not BUSY[answer.status] then return finish(answer, tries) end
    local wait = math.max(jitter(pause), asked_pause(answer) or 0)
    local over = tries >= (opts.tries or TRIES) or (err and not worth_again(err)) or wait > LONGEST_PAUSE
      or clock.now() + wait >= deadline
    if over and answer then return finish(answer, tries) end
    if over then
      add_hint(err)
      if opts.what then err.message = ("%s: %s"):format(opts.what, err.message) end
      if tries > 1 then err.detail = ("tried %d times"):format(tries) end
      error(err, 0)
    end
    if opts.note then
      opts.note(("%s: %s; trying again in %.1f s"):format(opts.what or "request",
        answer and "HTTP " .. answer.status or err.message, wait))
    end
    clock.sleep(wait, deadline)
    pause = pause * 2
  end
end

---@param text string
---@return string
function M.encode(text)
  return (text:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

---A body as forms send it, its fields in order of their names.
---@param fields table<string, string>
---@return string
function M.form(fields)
  local out = {}
  for name, value in pairs(fields) do out[#out + 1] = M.encode(name) .. "=" .. M.encode(value) end
  table.sort(out)
  return table.concat(out, "&")
end

---Scheme, host without port, and whether the host is this machine.
---@param url string
---@return string? scheme
---@return string? host
---@return boolean loopback
function M.split(url)
  local scheme, authority = url:match("^(%a+)://([^/?#]+)")
  if not scheme or authority:find("@", 1, true) then return nil, nil, false end
  local host = authority:match("^(%b[])") or authority:match("^[^:]+")
  if not host then return nil, nil, false end
  host = host:lower()
  return scheme:lower(), host, host == "localhost" or host == "[::1]" or host:find("^127%.[%d.]+$") ~= nil
end

return M
