---What a file's headers set for that file alone: put before its statements and taken back behind them.
local headers = require "migrator.plan.headers"

local M = {}

-- What was in force, which may be another file's SET, waits in a setting of our own. $1 name, $2 value.
local ENTER = [[select pg_catalog.set_config('migrator.' || $1::text, pg_catalog.current_setting($1::text), true),
  pg_catalog.set_config($1::text, $2::text, true)]]
local LEAVE = "select pg_catalog.set_config($1::text, pg_catalog.current_setting('migrator.' || $1::text), true)"
local HOLD = "select pg_catalog.current_setting($1::text) as before, pg_catalog.set_config($1::text, $2::text, false)"
local PUT_BACK = "select pg_catalog.set_config($1::text, $2::text, false)"

local function settings_of(item) return item.headers and headers.settings(item.headers) or {} end

---The statements around those of a file, for a transaction: they travel with the others.
---@param item migrator.SegmentItem
---@param side "enter"|"leave"
---@return { text: string, params: string[] }[]
function M.statements(item, side)
  local out = {}
  for i, setting in ipairs(settings_of(item)) do
    out[i] = side == "enter" and { text = ENTER, params = { setting.name, setting.value } }
      or { text = LEAVE, params = { setting.name } }
  end
  return out
end

---Sets them for the session, outside of a transaction.
---@param conn migrator.Conn
---@param item migrator.SegmentItem
---@return fun() restore to be called outside of a transaction
function M.hold(conn, item)
  local before = {}
  for i, setting in ipairs(settings_of(item)) do
    before[i] = { name = setting.name, value = conn:row(HOLD, setting.name, setting.value).before }
  end
  return function()
    for _, setting in ipairs(before) do conn:exec(PUT_BACK, setting.name, setting.value) end
  end
end

return M
