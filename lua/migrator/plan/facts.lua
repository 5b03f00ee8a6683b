---What a classification cannot tell from journal and rows alone: was an edit only cosmetic, is there a schema already?
local lazy = require "migrator.lib.lazy"
local capacity = lazy.require "migrator.plan.capacity"
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local db = require "migrator.db"
local hash = require "migrator.core.hash"
local kinds = lazy.require "migrator.plan.kinds"
local process = lazy.require "migrator.core.process"
local progress = require "migrator.progress"
local sql = require "migrator.core.sql"

local M = {}

local HISTORY = 50 -- versions of a file to look through
local GIT_SECONDS = 5

local function with_lf(text) return (text:gsub("\r\n", "\n")) end
local function with_crlf(text) return (with_lf(text):gsub("\n", "\r\n")) end

local function git(...)
  local ok, result = pcall(process.run, { cmd = { "git", ... }, stdout = "capture", stderr = "null",
    deadline = clock.deadline(GIT_SECONDS) })
  return ok and result.code == 0 and result.stdout or nil
end

---The text with the given hash among the versions that git keeps of a file.
local function find_in_history(path, wanted)
  local dir, name = path:match("^(.*)/([^/]*)$")
  if not dir then dir, name = ".", path end
  local log = git("-C", dir, "log", "--format=%H", "-n", tostring(HISTORY), "--", name)
  for commit in (log or ""):gmatch("%x+") do
    local text = git("-C", dir, "show", commit .. ":./" .. name)
    if text and hash.sha256(sql.decode_utf8(text)) == wanted then return sql.decode_utf8(text) end
  end
end

---What makes a difference in nothing but form, in words; nil when the edit is a real one or its original is not to be
---found.
local function cosmetic(entry, row)
  local text = entry:text()
  if hash.sha256(with_lf(text)) == row.hash or hash.sha256(with_crlf(text)) == row.hash then
    return "its line endings"
  end
  local before = find_in_history(entry.path, row.hash)
  if before and kinds.without_comments(before) == kinds.without_comments(text) then return "comments or blanks" end
end

---The tables that a migration creates outright; IF NOT EXISTS counts out, since such a file can be run over them.
local function created_tables(entry)
  local out = {}
  for _, statement in ipairs(entry:statements()) do
    if statement.words:find("^CREATE TABLE") and not statement.words:find("IF NOT EXISTS", 1, true) then
      local ok, tree = pcall(cjson.decode, sql.parse_json(statement.text) or "")
      local node = ok and tree.stmts[1].stmt.CreateStmt
      if node and node.relation.relpersistence ~= "t" then
        local name = sql.quote_ident(node.relation.relname)
        out[#out + 1] = node.relation.schemaname and sql.quote_ident(node.relation.schemaname) .. "." .. name or name
      end
    end
  end
  return out
end

---A pulled schema: drizzle-kit writes the whole of it into one comment.
local function is_commented_out(entry)
  return entry.size > 200 and #entry:statements() == 0 and entry:text():find("CREATE TABLE", 1, true) ~= nil
end

---Known from the first look unless the tracking table is there and empty.
local function has_tables(session)
  if type(session.state.has_tables) == "boolean" then return session.state.has_tables end
  return session.conn:value([[select exists (select 1 from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p') and n.nspname !~ '^pg_'
    and n.nspname not in ('information_schema', 'migrator', $1))]], session.tracking.schema)
end

local function find_baseline(found, session)
  local first
  for _, item in ipairs(found.items) do
    if item.state == "pending" then
      first = item.entry
      break
    end
  end
  if not first or (#session.rows > 0 and #found.missing == 0) or not has_tables(session) then return nil end
  if is_commented_out(first) then return first, { "all that is in its comment" } end
  local wanted = created_tables(first)
  if #wanted == 0 then return nil end
  local existing = {}
  for _, row in ipairs(session.conn:exec("select t as name from unnest($1::text[]) t where to_regclass(t) is not null",
    db.array(wanted))) do
    existing[#existing + 1] = row.name
  end
  if #existing == #wanted or #existing * 2 > #wanted then return first, existing end
end

---The procedures in the database whose bodies end transactions, asked for only when the first name is looked up.
local function committing_procedures(session)
  local names
  return setmetatable({}, { __index = function(_, name)
    if not names then
      names = {}
      for _, row in ipairs(session.conn:exec([=[select lower(proname) as name from pg_catalog.pg_proc where prokind = 'p'
        and prosrc ~* '(^|[;[:space:]])(commit|rollback)[[:space:]]*;']=])) do
        names[row.name] = true
      end
    end
    return names[name]
  end })
end

---The names of the partitioned tables and indexes, asked for only when the first is looked up.
local function partitioned_relations(session)
  local names
  return setmetatable({}, { __index = function(_, name)
    if not names then
      names = {}
      for _, row in ipairs(session.conn:exec([[select relname as name from pg_catalog.pg_class
        where relkind in ('p', 'I')]])) do
        names[row.name] = true
      end
    end
    return names[name]
  end })
end

---@param found table what classify.run returned
---@param session migrator.Session
---@return { cosmetic: table<migrator.Entry, string>, baseline?: migrator.Entry, existing?: string[] }
function M.gather(found, session)
  local facts = { cosmetic = {} }
  for _, item in ipairs(found.items) do
    if item.state == "edited" then facts.cosmetic[item.entry] = cosmetic(item.entry, item.row) end
  end
  facts.baseline, facts.existing = find_baseline(found, session)
  facts.server_version = session.conn:info().version_number
  if found.counts.pending + found.counts.stranded > 0 then
    facts.lock_table = capacity.table_of(session.state, facts.server_version)
  end
  facts.part_way = session.state.has_progress and progress.list(session.conn, session.tracking.name) or {}
  facts.committing = committing_procedures(session)
  facts.partitioned = partitioned_relations(session)
  return facts
end

return M
