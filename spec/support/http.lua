---A web server whose answer a spec sets, and changes while somebody asks.
local http = require "migrator.core.http"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local M = {}

-- One connection: the request is read to its blank line and kept, then the file is the answer.
local HANDLER = [==[
cr=$(printf '\r')
: > $0.request
while read -r line; do
  line=${line%$cr}
  [ -z "$line" ] && break
  printf '%s\n' "$line" >> $0.request
done
echo x >> $0.count
cat $0.answer
]==]

local Server = {}
Server.__index = Server

---@param status string such as "200 OK"
---@param body string
function Server:answer(status, body)
  tmp.write(self.path .. ".new", ("HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"):format(status,
    #body, body))
  process.run { cmd = { "mv", self.path .. ".new", self.path .. ".answer" } }
end

function Server:__close() self.child:stop() end

---@return { url: string, path: string }
function M.start()
  local dir, port = tmp.dir { ["handler.sh"] = HANDLER }, http.find_port()
  local self = setmetatable({ path = dir .. "/handler.sh", url = "http://127.0.0.1:" .. port }, Server)
  self:answer("200 OK", "ok")
  self.child = process.start { cmd = { "socat", ("TCP-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork"):format(port),
    "EXEC:sh " .. self.path }, log = dir .. "/log" }
  wait.till(function() return http.try_get(self.url) ~= nil end, 10)
  return self
end

return M
