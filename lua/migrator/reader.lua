---A session that can only look. Each statement is alone in a read-only transaction that has its snapshot already and is
---rolled back: from there PostgreSQL lets nobody back to writing, whatever the statement sets, and nothing that it sets
---outlives it. What PostgreSQL allows a read-only transaction (its functions for superusers, NOTIFY) stays allowed.
local M = {}

---@class migrator.Reader
local Reader = {}
Reader.__index = Reader

local connections = setmetatable({}, { __mode = "k" }) -- beside the handle: it must not lead to the session itself

---@param connect fun(): migrator.Conn called when first needed
---@return migrator.Reader
function M.new(connect)
  local self = setmetatable({}, Reader)
  connections[self] = { connect = connect }
  return self
end

local function session(self)
  local held = connections[self]
  if not held.conn or held.conn:status() == "closed" then held.conn = held.connect() end
  return held.conn
end

---The rows of one statement.
function Reader:exec(sql, ...)
  local conn = session(self)
  conn:exec "begin isolation level repeatable read read only"
  local result = table.pack(pcall(function(...)
    conn:exec "select pg_catalog.pg_backend_pid()"
    return conn:exec(sql, ...)
  end, ...))
  if conn:status() ~= "closed" then pcall(conn.exec, conn, "rollback") end
  if not result[1] then error(result[2], 0) end
  return result[2]
end

---The first row, or nil.
function Reader:row(sql, ...) return self:exec(sql, ...)[1] end

---The first column of the first row, or nil.
function Reader:value(sql, ...)
  local rows = self:exec(sql, ...)
  if not rows[1] then return nil end
  return rows[1][rows.columns[1]]
end

---Closes the session, if there is one. Again is harmless.
function Reader:close()
  local held = connections[self]
  if held.conn then held.conn:close() end
end

Reader.__close = Reader.close
Reader.__metatable = "reader"

return M
