---Tracking rows changed on purpose: the one way in which baseline and repair write. In one transaction, behind the
---same fence as a run: the table is locked and must still hold what was looked at.
local errors = require "migrator.error"
local progress = require "migrator.progress"
local tracking_table = require "migrator.tracking"

local M = {}

---Drops what an interrupted, statement-wise run noted about entries that are now recorded by hand.
local function forget_progress(conn, tracking, tags)
  if not progress.is_kept(conn) then return end
  for _, tag in ipairs(tags) do
    if progress.is_kept(conn) then progress.clear(conn, tracking.name, tag) end
  end
end

local function fence(conn, session)
  local tracking = session.tracking
  conn:exec(tracking.lock)
  local ok, err = pcall(conn.exec, conn, tracking_table.digest_check(tracking), tracking_table.digest(session.rows),
    "rows now: ")
  if ok then return end
  if errors.is(err, "sql") and err.sqlstate == "22P02" then
    errors.raise("lock", { message = "the tracking table was changed by somebody else meanwhile",
      hint = "nothing was changed by us; run again" })
  end
  error(err, 0)
end

---@param session migrator.Session whose run lock is held
---@param change fun(conn: migrator.Conn, name: string)
---@param tags? string[] of the entries that are settled by it
function M.change(session, change, tags)
  session.conn:transaction(function(conn)
    if not session.state.tracked then
      if not session.state.has_schema then conn:exec(session.tracking.create_schema) end
      conn:exec(session.tracking.create_table)
    end
    fence(conn, session)
    change(conn, session.tracking.name)
    forget_progress(conn, session.tracking, tags or {})
  end)
end

---@param session migrator.Session
---@param entries migrator.Entry[]
function M.record(session, entries)
  local tags = {}
  for i, entry in ipairs(entries) do tags[i] = entry.tag end
  M.change(session, function(conn)
    for _, entry in ipairs(entries) do conn:exec(session.tracking.add, entry.hash, entry.when) end
  end, tags)
end

---Exactly one row must be what the change is about.
local function one(result)
  if result.affected ~= 1 then
    errors.raise("internal", ("%s rows were affected instead of one"):format(tostring(result.affected)))
  end
end

---@param session migrator.Session
---@param row migrator.Row
---@param entry migrator.Entry whose hash and `when` the row is to have
function M.accept(session, row, entry)
  M.change(session, function(conn, name)
    one(conn:exec(("update %s set hash = $1, created_at = $2 where id = $3"):format(name), entry.hash, entry.when,
      row.id))
  end, { entry.tag })
end

---@param session migrator.Session
---@param row migrator.Row
function M.forget(session, row)
  M.change(session, function(conn, name) one(conn:exec(("delete from %s where id = $1"):format(name), row.id)) end)
end

return M
