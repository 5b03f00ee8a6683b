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
local rewrite = lazy.require "migrator.plan.rewrite"
local server = require "migrator.server"
local sql = require "migrator.core.sql"
local tree = lazy.require "migrator.plan.tree"

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
      local ok, parsed = pcall(cjson.decode, sql.parse_json(statement.text) or "")
      local node = ok and parsed.stmts[1].stmt.CreateStmt
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
  return server.has_tables(session.conn, session.tracking)
end

---A file that stopped part way made those tables itself.
local function find_baseline(found, session, part_way)
  local first
  for _, item in ipairs(found.items) do
    if item.state == "pending" then
      first = item.entry
      break
    end
  end
  if not first or part_way[first.tag] or (#session.rows > 0 and #found.missing == 0) then return nil end
  if not has_tables(session) then return nil end
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
  facts.part_way = session.state.has_progress and progress.list(session.conn, session.tracking.name) or {}
  facts.baseline, facts.existing = find_baseline(found, session, facts.part_way)
  facts.server_version = session.conn:info().version_number
  if found.counts.pending + found.counts.stranded > 0 then
    facts.lock_table = capacity.table_of(session.state, facts.server_version)
  end
  facts.committing = committing_procedures(session)
  facts.partitioned = partitioned_relations(session)
  return facts
end

-- One table a row, with all that hangs from it (partitions, children, indexes, TOAST). The functions of PostgreSQL that
-- tell sizes lock what they look at, so pg_class has to do; only a table's own file is measured, for a table that was
-- never analyzed, and not while somebody has it locked or waits to.
local RELATIONS = [[with recursive asked as (select name, to_regclass(name)::oid as oid from unnest($1::text[]) name),
  family as (select name, oid, oid as member from asked where oid is not null
    union select f.name, f.oid, i.inhrelid from family f join pg_catalog.pg_inherits i on i.inhparent = f.member),
  locked as (select relation from pg_catalog.pg_locks where locktype = 'relation' and mode = 'AccessExclusiveLock'
    and database = (select oid from pg_catalog.pg_database where datname = current_database())),
  measured as (select f.name, f.oid, c.reltuples, c.relpages, case when c.relkind in ('p', 'f', 'v') then 0
      when f.member in (select relation from locked) then c.relpages
      else pg_catalog.pg_relation_size(f.member) / current_setting('block_size')::int8 end as pages,
      (select coalesce(sum(a.relpages), 0) from pg_catalog.pg_class a where a.oid = c.reltoastrelid
        or a.oid in (select indexrelid from pg_catalog.pg_index where indrelid in (c.oid, c.reltoastrelid))) as more
    from family f join pg_catalog.pg_class c on c.oid = f.member),
  sizes as (select name, oid, sum(greatest(pages, relpages) + more) * current_setting('block_size')::int8 as bytes,
      sum(case when relpages > 0 and reltuples >= 0 then reltuples::float8 / relpages * greatest(pages, relpages) end)
      as rows, coalesce(bool_or(pages > 0), false) as filled from measured group by name, oid)
  select s.name, c.relkind as kind, s.bytes::int8 as bytes, round(s.rows::numeric)::int8 as rows, s.filled,
    current_setting('TimeZone') as zone,
    (select json_agg(json_build_array(a.attname, t.typname, format_type(a.atttypid, a.atttypmod), a.attnotnull))
      from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
      where a.attrelid = s.oid and a.attnum > 0 and not a.attisdropped)::text as columns,
    (select json_agg(json_build_array(k.conname, pg_get_constraintdef(k.oid), k.convalidated))
      from pg_catalog.pg_constraint k where k.conrelid = s.oid and k.contype = 'c')::text as checks
  from sizes s join pg_catalog.pg_class c on c.oid = s.oid where c.relkind in ('r', 'p', 'm')]]

local function known(value) return value ~= db.null and value or nil end

local function relation_of(row)
  local out = { kind = row.kind, bytes = row.bytes, rows = known(row.rows), filled = row.filled, columns = {},
    checks = {} }
  for _, item in ipairs(cjson.decode(known(row.columns) or "[]")) do
    out.columns[item[1]] = { type = rewrite.type_from(item[2], item[3]), not_null = item[4] }
  end
  for _, item in ipairs(cjson.decode(known(row.checks) or "[]")) do
    out.checks[item[1]] = { columns = rewrite.columns_of_check(item[2]), valid = item[3] }
  end
  return out
end

---What the catalogue knows of the tables and functions that the pending statements name.
---@param conn migrator.Conn
---@param needs { tables: string[], functions: string[] } of plan.danger.needs; by plan.tree.key
---@return migrator.DangerFacts
function M.relations(conn, needs)
  local out = { relations = {}, volatile = {} }
  if #needs.tables > 0 then
    for _, row in ipairs(conn:exec(RELATIONS, db.array(needs.tables))) do
      out.relations[tree.key(row.name)], out.zone = relation_of(row), row.zone
    end
  end
  if #needs.functions > 0 then
    for _, row in ipairs(conn:exec([[select proname as name, bool_or(provolatile = 'v') as volatile
      from pg_catalog.pg_proc where proname = any($1::text[]) group by 1]], db.array(needs.functions))) do
      out.volatile[row.name] = row.volatile
    end
  end
  return out
end

return M
