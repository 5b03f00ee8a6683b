---migrator spec, hidden: this program's own specs, in the whole of Lua. spec/run.lua says what is watched around each test.
local M = {}

---@param _ migrator.Config
---@param sink migrator.Sink
---@param args { spec: string[], filter?: string, jobs?: string }
function M.run(_, sink, args)
  package.path = "./?.lua;./?/init.lua;" .. package.path
  local paths, jobs = #args.spec > 0 and args.spec or { "spec" }, math.tointeger(tonumber(args.jobs or "1"))
  if jobs and jobs > 1 then return require("spec.parallel")(sink, paths, args.filter, jobs) end
  return require("spec.run")(sink, paths, args.filter)
end

return M
