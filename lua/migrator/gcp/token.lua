---An access token, fetched when it is needed and again before it expires. It is held in memory alone.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"

local M = {}

local MARGIN = 225 -- seconds before its end that a token counts as old: what it is sent with may run as long

---@class migrator.GcpContext
---@field environment table<string, string>
---@field endpoints table
---@field note? fun(text: string)
---@field hide fun(secret: string?) hides it in all that is printed from now on

---Can it be sent? A line end in it would begin another header.
---@param value any
---@return boolean
function M.is_usable(value) return type(value) == "string" and value ~= "" and not value:find("[%s%c]") end

---Raises what an answer is that should have held a token, and has none.
---@param what string
function M.refuse_answer(what)
  errors.raise("http", { message = what .. ": the answer has no usable token", reason = "bad_answer",
    hint = "it is not what the service says: is something in between (a proxy, the sign-in page of a network), or the "
      .. "endpoint another one's?" })
end

local Source = {}
Source.__index = Source
Source.__name = "migrator.GcpSource"
-- Printing one by accident shows no token.
function Source:__tostring() return "credentials: " .. self.description end

---@param fields table kind, description, cx, fetch (deadline -> token, seconds); account?, quota_project?, warnings?,
---fixed? (a token that somebody gave, and that cannot be had anew)
---@return migrator.GcpSource
function M.new(fields) return setmetatable(fields, Source) end

---@return boolean
function M.is(value) return getmetatable(value) == Source end

local function fetch(self, deadline)
  local began = clock.now()
  local token, seconds = self.fetch(deadline)
  -- Counted from before the request, so that the time it took is not added to its life.
  self.held = { token = token, ends = seconds and began + seconds or math.huge,
    old = seconds and began + seconds - math.min(MARGIN, seconds / 4) or math.huge }
  self.fetched = (self.fetched or 0) + 1
  return token
end

---The access token. Raises as its source does; one that is merely old is used on when no new one can be had.
---@param deadline? number
---@return string
function Source:token(deadline)
  local held = self.held
  if held and clock.now() < held.old then return held.token end
  if not held or clock.now() >= held.ends then return fetch(self, deadline) end
  local ok, result = pcall(fetch, self, deadline)
  if ok then return result end
  if errors.is(result, "interrupted") then error(result, 0) end
  return held.token
end

---Forgets the token, because it was refused.
---@return boolean worth is it worth to ask again?
function Source:forget()
  self.held = nil
  return not self.fixed
end

---How many seconds the token is good for; nil when nobody said.
---@return number?
function Source:remaining()
  local ends = self.held and self.held.ends
  return ends and ends < math.huge and ends - clock.now() or nil
end

---Who we are, as a policy binding names it.
---@return string?
function Source:principal()
  if self.account then return "serviceAccount:" .. self.account end
  return self.member
end

---The headers of a request.
---@param deadline? number
---@return table<string, string>
function Source:headers(deadline)
  return { Authorization = "Bearer " .. self:token(deadline), ["x-goog-user-project"] = self.quota_project,
    Accept = "application/json" }
end

M.Source = Source

return M
