---Every check that a run would stumble over, one after the other; what cannot be looked at because of an earlier
---failure is left out.
local engine = require "migrator.engine"
local needs = require "migrator.doctor.needs"
local repository = require "migrator.doctor.repository"
local server = require "migrator.doctor.server"

local M = { CONNECTIONS = needs.CONNECTIONS }

---@class migrator.Check
---@field name string
---@field status "ok"|"warn"|"fail"
---@field message string
---@field mend string|nil
---@field code string|nil error code of a failure

---@class migrator.Wants what a script asks for besides
---@field roles string[]
---@field extensions string[]
---@field connections integer
---@field expect table|nil
---@field deadline number|nil

local function look_at_server(add, config, target, journal, wants)
  if not server.reachable(add, target) then return {} end
  local conn = server.login(add, config, wants.deadline or engine.deadline(config))
  if not conn then return {} end
  local _ <close> = conn
  server.settings(add, conn)
  local session = server.look(add, config, conn, server.privileges(add, conn, config))
  if not session then return {} end
  needs.identity(add, session, wants.expect)
  server.marker(add, session, config)
  server.pooler(add, session, config, wants.deadline)
  server.lock(add, session)
  server.indexes(add, session)
  needs.connections(add, conn, wants.connections)
  needs.extensions(add, conn, wants.extensions)
  local applied = {}
  if journal then
    server.extensions(add, session, journal)
    applied = server.state(add, session, journal, config)
  end
  needs.roles(add, conn, journal, applied, wants.roles)
  return applied
end

---@param config migrator.Config
---@param wants? migrator.Wants
---@return migrator.Check[]
function M.run(config, wants)
  wants = wants or { roles = {}, extensions = {}, connections = needs.CONNECTIONS }
  local checks = {}
  local function add(name, status, message, mend, code)
    checks[#checks + 1] = { name = name, status = status, message = message, mend = mend, code = code }
  end
  repository.binary(add)
  repository.settings(add, config)
  local target = repository.url(add, config)
  local journal = repository.journal(add, config)
  local applied = target and look_at_server(add, config, target, journal, wants) or {}
  if journal then repository.files(add, journal, applied) end
  return checks
end

return M
