---What a text that the run sends is, in words: a statement of a migration with its place, or which of the engine's own.
local kinds = require "migrator.plan.kinds"

local M = {}

---@class migrator.crash.Name
---@field what string such as "statement 3 of 0007_x"
---@field file? string
---@field line? integer
---@field ends boolean a COMMIT: whether it happened is known to the server alone until it answers
---@field concurrent boolean commits several times by itself

local ENDS = { COMMIT = true, END = true, ["COMMIT TRANSACTION"] = true, ["COMMIT WORK"] = true }

-- Equal texts are told apart by their order: a queue for each.
local function index_statements(entries)
  local queues = {}
  for _, entry in ipairs(entries) do
    for index, statement in ipairs(kinds.mark(entry:statements())) do
      local queue = queues[statement.text] or { first = 1 }
      queues[statement.text] = queue
      queue[#queue + 1] = { what = ("statement %d of %s"):format(index, entry.tag), file = entry.path,
        line = statement.line, ends = statement.kind == "control" and ENDS[statement.words] or false,
        concurrent = statement.kind == "outside"
          and kinds.skeleton(statement.text):find("CONCURRENTLY", 1, true) ~= nil }
    end
  end
  return queues
end

local function find_tag(entries, params)
  for _, entry in ipairs(entries) do
    for i = 1, params.n do
      if params[i] == entry.hash or params[i] == entry.tag then return entry.tag end
    end
  end
end

local OWN = {
  { "^begin", "BEGIN" }, { "^commit", "COMMIT", ends = true }, { "^rollback", "ROLLBACK" },
  { "^lock table", "the lock on the tracking table" }, { "^set ", "a setting" }, { "set_config", "a setting" },
  { "^insert into migrator%.progress", "the note of progress%s" },
  { "^delete from migrator%.progress", "the end of the notes%s" },
  { "^create schema", "CREATE SCHEMA" }, { "^create table", "CREATE TABLE of our own" },
  { "pg_try_advisory_lock", "the first look" }, { "pg_current_xact_id", "the question for the transaction's id" },
  { "string_agg", "the check of the tracking rows" }, { "pg_advisory_unlock", "the release of the run lock" },
}

---@param entries migrator.Entry[] what is going to be applied, in order
---@param tracking migrator.Tracking
---@return fun(text: string, ...: any): migrator.crash.Name
function M.new(entries, tracking)
  local queues = index_statements(entries)
  return function(text, ...)
    local queue = queues[text]
    if queue and queue[queue.first] then
      queue.first = queue.first + 1
      return queue[queue.first - 1]
    end
    local params, what, ends = table.pack(...), nil, false
    local tag = find_tag(entries, params)
    if text:find(tracking.insert, 1, true) == 1 then
      what = params.n > 2 and "the tracking rows" or "the tracking row%s"
    else
      for _, own in ipairs(OWN) do
        if text:find(own[1]) then
          what, ends = own[2], own.ends or false
          break
        end
      end
    end
    what = what or "`" .. text:gsub("%s+", " "):sub(1, 40) .. "`"
    return { what = (what:gsub("%%s", tag and function() return " of " .. tag end or "")), ends = ends,
      concurrent = false }
  end
end

return M
