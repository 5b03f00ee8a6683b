---Scripts outside the journal: SQL that states what is to be (policies, views, functions, grants) and runs again whenever
---its text changes. Each is one transaction, which carries the note of it; Drizzle's table never hears of them.
local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local kinds = require "migrator.plan.kinds"
local sql = require "migrator.core.sql"
local statements = require "migrator.journal.statements"

local M = {}

local FOLDERS = { "repeatable", "policies" }
local WINDOW = 512 -- statements under way: bounds the memory on both sides
local AGAIN = "what ran before it stays; run again when the cause is mended"

---@class migrator.Repeatable
---@field path string as the user finds it
---@field name string as it is recorded: the folder's own name and what is below it
---@field hash string
---@field list migrator.Statement[]

---@class migrator.Repeatables
---@field folder string the last part of its path
---@field files migrator.Repeatable[] in the order of their names

local REFUSED = {
  control = "a repeatable script is one transaction: %s would end it",
  rollback = "a repeatable script is one transaction: %s would end it",
  outside = "%s cannot run in a transaction, and a repeatable script is one",
  copy = "%s reads rows that psql would send",
  copy_out = "%s gives rows to psql, and nobody is there to take them",
}

local function is_savepoint(statement)
  return statement.words:find("^SAVEPOINT") or statement.words:find("^RELEASE")
    or (statement.words:find("^ROLLBACK") and statement.kind == "control")
end

-- A session's setting would decide over the scripts behind it, but only on the days on which this one runs.
local function outlives(statement)
  if not statement.words:find("^SET%f[%A]") then return false end
  for _, word in ipairs { "LOCAL", "CONSTRAINTS", "TRANSACTION" } do
    if statement.words:find("^SET " .. word .. "%f[^%w_]") then return false end
  end
  return true
end

local function refusal(statement)
  statement.kind = kinds.of(statement)
  local what = kinds.title(statement)
  if REFUSED[statement.kind] and not is_savepoint(statement) then
    return REFUSED[statement.kind]:format(what), "such a statement belongs into a migration"
  elseif outlives(statement) then
    return "SET would outlive the script", "write SET LOCAL"
  end
end

---@param position integer in characters from 1, of the statement
local function place(file, statement, position)
  local line, column = statements.locate(file.list.source, statement, position)
  return { file = file.path, line = line, column = column, snippet = statements.line_at(file.list.source, line) }
end

local function read(path, name)
  local text = sql.decode_utf8(fs.read(path))
  local file = { path = path, name = name, hash = hash.sha256((text:gsub("\r\n", "\n"))) }
  file.list = statements.read { path = path, text = function() return text end }
  for _, statement in ipairs(file.list) do
    local message, hint = refusal(statement)
    if message then
      local fields = place(file, statement, 1)
      fields.message, fields.hint = message, hint
      errors.raise("parse", fields)
    end
  end
  return file
end

local function collect(folder, name, out)
  local found = fs.list(folder)
  table.sort(found)
  for _, item in ipairs(found) do
    local path = folder .. "/" .. item
    local info = fs.find(path)
    if item:sub(1, 1) == "." or not info then
      goto continue
    elseif info.type == "directory" then
      collect(path, name .. "/" .. item, out)
    elseif item:find("%.sql$") then
      out[#out + 1] = read(path, name .. "/" .. item)
    end
    ::continue::
  end
  return out
end

---The folder that is meant when none is named, or nil.
---@return string|nil
function M.find_folder()
  for _, name in ipairs(FOLDERS) do
    local info = fs.find(name)
    if info and info.type == "directory" then return name end
  end
end

---Reads a folder's scripts; what is wrong with the text of any is raised here, before something runs.
---@param folder string
---@return migrator.Repeatables
function M.load(folder)
  local path = #folder > 1 and folder:gsub("/+$", "") or folder
  local info = fs.find(path)
  if not info or info.type ~= "directory" then
    errors.raise("config", { message = ("no folder of repeatable scripts: %s"):format(folder),
      hint = "make it, or name another with --repeatable (steps.repeatable: dir)" })
  end
  local name = path:match("([^/]+)$") or path
  if name == "." or name == ".." then name = fs.absolute(path):match("([^/]+)$") or name end
  return { folder = name, files = collect(path, name, {}) }
end

---Has the database ever seen such a script? Asked of the catalogue: to_regclass fails for who has no right on the schema.
---@param conn migrator.Conn
---@return boolean
function M.is_kept(conn)
  return conn:value [[select exists (select 1 from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'migrator' and c.relname = 'repeatable' and c.relkind = 'r')]]
end

local function rows_of(conn, tracking)
  if not M.is_kept(conn) then return {}, false end
  return conn:exec("select path, hash from migrator.repeatable where tracking = $1 order by path", tracking.name), true
end

---What would run. Reads only.
---@param conn migrator.Conn
---@param tracking migrator.Tracking
---@param set migrator.Repeatables
---@return { file: migrator.Repeatable, state: "new"|"changed"|"unchanged" }[] items, string[] removed, boolean kept
function M.compare(conn, tracking, set)
  local rows, kept = rows_of(conn, tracking)
  local recorded, items, removed = {}, {}, {}
  for _, row in ipairs(rows) do recorded[row.path] = row.hash end
  for i, file in ipairs(set.files) do
    local before = recorded[file.name]
    items[i] = { file = file, state = not before and "new" or before == file.hash and "unchanged" or "changed" }
    recorded[file.name] = nil
  end
  for _, row in ipairs(rows) do
    if recorded[row.path] and row.path:sub(1, #set.folder + 1) == set.folder .. "/" then
      removed[#removed + 1] = row.path
    end
  end
  return items, removed, kept
end

local function prepare(conn)
  local ok, err = pcall(function()
    if not conn:value "select exists (select 1 from pg_catalog.pg_namespace where nspname = 'migrator')" then
      conn:exec "create schema if not exists migrator"
    end
    conn:exec [[create table if not exists migrator.repeatable (tracking text not null, path text not null,
      hash text not null, at timestamptz not null default now(), primary key (tracking, path))]]
  end)
  if ok then return end
  if errors.is(err, "sql") and err.sqlstate == "42501" then
    err.hint = "grant create on this database to the user, or create the schema migrator for it"
  end
  error(err, 0)
end

-- First in its transaction, as the role that came: the script may change to another that may not write here.
local RECORD = [[insert into migrator.repeatable as r (tracking, path, hash) values ($1, $2, $3)
on conflict (tracking, path) do update set hash = excluded.hash, at = now()]]

local function send(batch, conn, tracking, file, emit)
  local head, queued, current = 1, {}, nil
  local function receive(until_left)
    while #queued - head + 1 > until_left do
      current = queued[head]
      head = head + 1
      batch:next()
      for _, notice in ipairs(conn:notices()) do
        notice.entry = { tag = file.path }
        emit("notice", notice)
      end
    end
  end
  local function add(statement, text, ...)
    queued[#queued + 1] = statement
    batch:queue(text, ...)
    batch:flush()
    if #queued - head > WINDOW then receive(WINDOW // 2) end
  end
  local ok, err = pcall(function()
    add(false, "begin")
    add(false, RECORD, tracking.name, file.name, file.hash)
    for _, statement in ipairs(file.list) do add(statement, statement.text) end
    add(false, "commit")
    batch:sync()
    receive(0)
  end)
  if not ok then return current or nil, err end
end

local function annotate(err, file, statement)
  if not errors.is(err) then return err end
  errors.add(err, { file = file.path })
  if statement and not err.line and err.sqlstate then
    errors.add(err, place(file, statement, math.max(err.position or 1, 1)))
    errors.add(err, { statement = statement.text })
  end
  if err.code == "connect" or err.code == "timeout" then errors.add(err, { hint = AGAIN }) end
  return err
end

local function run_file(conn, tracking, file, emit)
  local batch = conn:batch()
  local statement, err = send(batch, conn, tracking, file, emit)
  local closed, failure = pcall(batch.close, batch)
  err = err or not closed and failure or nil
  if not err then return end
  if conn:status() ~= "idle" and conn:status() ~= "closed" then pcall(conn.exec, conn, "rollback") end
  error(annotate(err, file, statement), 0)
end

local function run_again(session, file, emit, opts)
  local attempt = 1
  while true do
    local ok, err = pcall(run_file, session.conn, session.tracking, file, emit)
    if ok then return end
    local wait = opts.retry and errors.is(err) and opts.retry(err, attempt)
    if not wait or (opts.deadline and clock.now() + wait >= opts.deadline) then error(err, 0) end
    emit("retry", { error = err, attempt = attempt, wait = wait })
    clock.sleep(wait)
    attempt = attempt + 1
  end
end

local function forget(session, removed, emit)
  for _, path in ipairs(removed) do
    session.conn:exec("delete from migrator.repeatable where tracking = $1 and path = $2", session.tracking.name, path)
    emit("notice", { message = ("the repeatable script %s is gone; what it made stays in the database"):format(path) })
  end
end

---Runs what changed, in the order of the names. The session holds the run lock.
---@param set migrator.Repeatables
---@param session migrator.Session
---@param emit fun(name: string, data: table)
---@param opts? { always?: boolean, retry?: function, deadline?: number } always: those that did not change too
---@return { ran: { path: string, state: string, elapsed: number }[], unchanged: integer, removed: string[] }
function M.run(set, session, emit, opts)
  opts = opts or {}
  local items, removed, kept = M.compare(session.conn, session.tracking, set)
  local result = { ran = {}, unchanged = 0, removed = removed }
  for _, item in ipairs(items) do
    if item.state ~= "unchanged" or opts.always then
      if not kept then prepare(session.conn) end
      kept = true
      local started = clock.now()
      run_again(session, item.file, emit, opts)
      table.insert(result.ran, { path = item.file.path, state = item.state, elapsed = clock.now() - started })
      emit("repeatable", { message = ("Repeatable: ran %s (%s)"):format(item.file.path, item.state) })
    else
      result.unchanged = result.unchanged + 1
    end
  end
  forget(session, removed, emit)
  emit("repeatable", { message = ("Repeatable scripts: %d ran, %d unchanged."):format(#result.ran, result.unchanged) })
  return result
end

return M
