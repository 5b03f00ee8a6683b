---migrator spec, hidden: this program's own specs, in the whole of Lua. spec/run.lua says what is watched around each test.
local M = {}

---@param _ migrator.Config
---@param sink migrator.Sink
---@param args { spec: string[], filter?: string }
function M.run(_, sink, args)
  package.path = "./?.lua;./?/init.lua;" .. package.path
  return require("spec.run")(sink, #args.spec > 0 and args.spec or { "spec" }, args.filter)
end

return M
