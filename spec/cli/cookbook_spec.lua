-- Every recipe of the cookbook, each in a folder and a database of its own.
local cjson = require "cjson"
local console = require "spec.support.console"
local fs = require "migrator.core.fs"
local http = require "migrator.core.http"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

-- Answers 200 to every request and keeps the bodies.
local LISTENER = [[
while IFS= read -r line && [ "$line" != "$(printf '\r')" ]; do
  case "$line" in [Cc]ontent-[Ll]ength:*) length=$(printf %s "${line#*:}" | tr -cd 0-9) ;; esac
done
head -c "${length:-0}" >> "$BODIES"
printf 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'
]]

local listener, bodies

local function listen(port)
  local dir = tmp.dir { ["answer.sh"] = LISTENER }
  bodies = dir .. "/bodies"
  listener = process.start { cmd = { "socat", ("TCP-LISTEN:%d,bind=127.0.0.1,fork,reuseaddr"):format(port),
    "SYSTEM:sh " .. dir .. "/answer.sh" }, env = { BODIES = bodies }, log = dir .. "/log" }
  wait.till(function() return not http.port_free(port) end)
end

local PROXY = "A proxy with a health endpoint"
local LISTENS = { ["Wait for another service"] = true, ["Tell a webhook when it fails"] = true, [PROXY] = true }

local function session(section)
  local port = http.find_port()
  if LISTENS[section] and section ~= PROXY then listen(port) end
  local url = ("http://127.0.0.1:%d/"):format(port)
  local env = { SEARCH_URL = url, WEBHOOK_URL = url }
  if section == PROXY then
    env.PROXY_PORT, env.HEALTH_PORT = ("%d"):format(port), ("%d"):format(http.find_port())
    env.SERVER_SOCKET = pg.server().socket_url:match("host=([^&]+)"):gsub("%%2[fF]", "/") .. "/.s.PGSQL.5432"
  end
  return { env = env }
end

describe("docs/cookbook.md", function()
  after_each(function()
    if listener then listener:stop() end
    listener = nil
  end)

  for _, section in ipairs(console.sections("docs/cookbook.md", { fresh = true, session = session })) do
    if section.name ~= "" then
      it(section.name, function()
        if LISTENS[section.name] and not process.find "socat" then return pending("needs socat") end
        section.play()
        if section.name == "Tell a webhook when it fails" then
          assert.matches("^migration failed: migrations/0001_event.sql:", cjson.decode(fs.read(bodies)).text)
        end
      end)
    end
  end
end)
