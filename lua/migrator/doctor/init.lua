---Every check that a run would stumble over, one after the other; what cannot be looked at because of an earlier
---failure is left out.
local repository = require "migrator.doctor.repository"
local server = require "migrator.doctor.server"

local M = {}

---@class migrator.Check
---@field name string
---@field status "ok"|"warn"|"fail"
---@field message string
---@field mend string|nil
---@field code string|nil error code of a failure

local function look_at_server(add, config, target, journal)
  if not server.reachable(add, target) then return {} end
  local conn = server.login(add, config)
  if not conn then return {} end
  local _ <close> = conn
  server.settings(add, conn)
  local session = server.look(add, config, conn, server.privileges(add, conn, config))
  if not session then return {} end
  server.pooler(add, session, config)
  server.lock(add, session)
  server.indexes(add, session)
  if not journal then return {} end
  server.extensions(add, session, journal)
  return server.state(add, session, journal, config)
end

---@param config migrator.Config
---@return migrator.Check[]
function M.run(config)
  local checks = {}
  local function add(name, status, message, mend, code)
    checks[#checks + 1] = { name = name, status = status, message = message, mend = mend, code = code }
  end
  repository.binary(add)
  repository.settings(add, config)
  local target = repository.url(add, config)
  local journal = repository.journal(add, config)
  local applied = target and look_at_server(add, config, target, journal) or {}
  if journal then repository.files(add, journal, applied) end
  return checks
end

return M
