---migrator dev, hidden: a Lua file of the checkout in the whole of Lua, the core modules included. scripts/dev is run by it.
local errors = require "migrator.error"

local M = {}

---@param _ migrator.Config
---@param _sink migrator.Sink
---@param args { file: string, words: string[] }
---@return integer exit code: what the file returns, or 0
function M.run(_, _sink, args)
  package.path = "./?.lua;./scripts/dev/?.lua;" .. package.path
  rawset(_G, "arg", { [0] = args.file, table.unpack(args.words) })
  local chunk, message = loadfile(args.file, "t")
  if not chunk then errors.raise("script", message) end
  return chunk(table.unpack(args.words)) or 0
end

return M
