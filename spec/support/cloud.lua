---Stand-ins for cloud services, each a real HTTP server on loopback.
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local host = require "migrator.core.host"
local http = require "migrator.core.http"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"
local wait = require "spec.support.wait"

local M = {}

M.PROVIDER = "projects/123456789/locations/global/workloadIdentityPools/gh/providers/gh"
M.ACCOUNT = "ci@trovella-shared.iam.gserviceaccount.com"

local function python() return host.environment().PYTHON or process.find "python3" end

local function start(cmd, dir, health)
  local handle = process.start { cmd = cmd, log = dir .. "/log" }
  wait.till(function()
    if not handle:alive() then error("the stand-in ended: " .. tostring(handle:log_tail()), 0) end
    local answer = http.try_get(health, { deadline = clock.deadline(1) })
    return answer and answer.status == 200
  end, 20)
  return handle
end

---The server of spec/support/cloud.py, or nil where there is no Python. `say(name, answer)` writes what it shall answer.
---@return table? server url, dir, handle, say, log
function M.small()
  if not python() then return nil end
  local dir, port = tmp.dir {}, http.find_port()
  local self = { dir = dir, url = "http://127.0.0.1:" .. port }
  self.handle = start({ python(), "spec/support/cloud.py", port, dir }, dir, self.url .. "/log")
  function self.say(name, answer)
    if answer then tmp.write(dir .. "/" .. name, cjson.encode(answer)) else fs.remove(dir .. "/" .. name) end
  end
  function self.log() return cjson.decode(http.get(self.url .. "/log").body) end
  return self
end

---The emulator of Google's side, or nil where there is no Python or OpenSSL.
---@param args? string[]
---@return table? emulator url, handle, fault, log
function M.emulator(args)
  if not python() or not process.find "openssl" then return nil end
  local dir, port, tls = tmp.dir {}, http.find_port(), http.find_port()
  local self = { url = "http://127.0.0.1:" .. port, tls = tls }
  local cmd = { python(), "spec/emulator/gcp_emulator.py", "--http", "127.0.0.1:" .. port, "--tls", "127.0.0.1:" .. tls,
    "--state", dir }
  for _, word in ipairs(args or {}) do cmd[#cmd + 1] = word end
  self.handle = start(cmd, dir, self.url .. "/_health")
  function self.fault(name, count)
    http.request { url = self.url .. "/_fault", body = cjson.encode { name = name or "", count = count or -1 } }
  end
  function self.log() return cjson.decode(http.get(self.url .. "/_log").body).requests end
  return self
end

---A Cloud SQL instance in front of a server. Its port is 3307 whatever one does, so each has an address of its own.
---@param backend string HOST:PORT
---@param args? string[]
---@return table? emulator
function M.instance(backend, args)
  local address = ("127.%d.%d.7"):format(tonumber(hash.random_hex(1), 16) % 250 + 2,
    tonumber(hash.random_hex(1), 16) % 250 + 2)
  local all = { "--tls", address .. ":3307", "--ip", address, "--backend", backend }
  local emulator = M.emulator(table.move(args or {}, 1, #(args or {}), #all + 1, all))
  if emulator then emulator.address = address end
  return emulator
end

---The proxy to test with: version 2, else what speaks its command line and is version 1.
---@return string? path
---@return boolean two
function M.proxy()
  local path = process.run({ cmd = { "scripts/dev/cloud_sql_proxy" }, stderr = "null" }).stdout:match("^(.-)%s*$")
  if path == "" then return nil, false end
  return path, not path:find("shim", 1, true)
end

---Version 2 itself.
---@return string? path
function M.version_two()
  local path, two = M.proxy()
  return two and path or nil
end

---The environment of a job of GitHub's that talks to such a server.
---@param url string
---@param more? table<string, string>
function M.job(url, more)
  local out = { ACTIONS_ID_TOKEN_REQUEST_URL = url .. "/_oidc/token?api-version=2.0",
    ACTIONS_ID_TOKEN_REQUEST_TOKEN = "gh-runtime-token", GCE_METADATA_HOST = "127.0.0.1:1", HOME = "/nowhere" }
  for _, name in ipairs { "STS", "IAMCREDENTIALS", "SECRETMANAGER", "OAUTH2" } do
    out["MIGRATOR_GCP_" .. name .. "_URL"] = url
  end
  for name, value in pairs(more or {}) do out[name] = value or nil end
  return out
end

---The error that a function raises.
function M.refused(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("nothing was raised", 2) end
  if not errors.is(err) then error(err, 0) end
  return err
end

return M
