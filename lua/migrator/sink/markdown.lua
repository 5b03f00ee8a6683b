---The run as a page of Markdown. Names and messages are other people's texts: nothing in them is markup here.
local advice = require "migrator.lib.advice"
local cut = require("migrator.lib.text").cut
local duration = require "migrator.lib.duration"
local mask = require "migrator.lib.mask"

local M = {}

local CELL = 600 -- bytes of one text
local ROWS = 200 -- of a table
local BARS = 40 -- of a kind in the timeline

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["$"] = "&#36;", ["@"] = "&#64;" }

-- Without secrets, which nobody finds any more once the text is escaped; without control characters, and those that turn
-- the direction of the text around them.
local function plain(text)
  text = mask.apply(tostring(text))
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  text = text:gsub("%c+", " "):gsub("\226\128[\170-\174]", ""):gsub("\226\129[\166-\169]", "")
  return cut(text, CELL)
end

---A text as it is, whatever it has in it: no markup, no link, no HTML, no end of a cell, no workflow command.
---@param text any
---@return string
function M.escape(text)
  return (plain(text):gsub("[&<>$@\\`*_%[%]#!|~]", function(c) return ENTITIES[c] or "\\" .. c end):gsub("::+",
  function(colons)
    return ("&#58;"):rep(#colons)
  end):gsub("([tT][pP][sS]?):/", "%1&#58;/"))
end

local escape = M.escape

local function link(text, url)
  if not url or #url > CELL or not url:find("^https?://[%w%-._~:/%%]+$") or url:find("::", 1, true) then
    return escape(text)
  end
  return ("[%s](%s)"):format(escape(text), url)
end

local RAN = { ok = true, failed = true, applied = true }

local function span(ms, status) return (ms > 0 or RAN[status]) and duration.format(ms / 1000) or "–" end

local function table_of(out, head, rows)
  if #rows == 0 then return end
  out[#out + 1] = ""
  out[#out + 1] = "| " .. table.concat(head, " | ") .. " |"
  out[#out + 1] = "|" .. ("---|"):rep(#head)
  for i, row in ipairs(rows) do
    if i > ROWS then
      out[#out + 1] = ("| … and %d more |"):format(#rows - ROWS) .. (" |"):rep(#head - 1)
      break
    end
    out[#out + 1] = "| " .. table.concat(row, " | ") .. " |"
  end
end

local function facts_of(run)
  local rows, origin, server = {}, run.ci, run.server
  local function add(name, text) if text and text ~= "" then rows[#rows + 1] = { name, text } end end
  if server then
    add("database", escape(("%s as %s%s, PostgreSQL %s"):format(server.database, server.user, server.host
      and " on " .. server.host .. (server.port and ":" .. server.port or "") or "", server.version)))
  end
  add("commit", origin.commit and link(origin.commit:sub(1, 12), origin.commit_url))
  add("by", origin.actor and escape(origin.actor))
  add("run", origin.url and link(origin.job or "this run", origin.url) or origin.job and escape(origin.job))
  add("began", run.at)
  add("took", duration.format(run.duration_ms / 1000))
  add("round trips", run.round_trips and ("%d"):format(run.round_trips))
  for _, secret in ipairs(run.secrets) do
    if secret.version then
      add(escape(secret.name), escape(("version %s of %s"):format(secret.version, secret.from)))
    end
  end
  return rows
end

local function add_error(out, err)
  if not err then return end
  local hint = advice.find(err)
  out[#out + 1] = "\n> **" .. escape(tostring(err)) .. "**"
  for _, text in ipairs { err.detail or false, hint or false, err.state or false } do
    if text then out[#out + 1] = ">\n> " .. escape(text) end
  end
end

local function add_notes(out, title, notes)
  if #notes == 0 then return end
  out[#out + 1] = "\n#### " .. title .. "\n"
  for i, note in ipairs(notes) do
    if i > ROWS then
      out[#out + 1] = ("- … and %d more"):format(#notes - ROWS)
      break
    end
    local where = note.file and note.file .. (note.line and ":" .. note.line or "") .. ": " or ""
    out[#out + 1] = "- " .. escape(where .. (note.title and note.title .. ": " or "") .. note.message)
      .. (note.hint and " — " .. escape(note.hint) or "")
  end
end

local TAGS = { ok = "done", applied = "done", failed = "crit" }

-- A name of the chart may have no colon, and nothing that begins a line of Mermaid's own: it starts with a number.
local function bar(number, name, status, from, ms)
  name = plain(name):gsub("[^%w_.-]", "_"):sub(1, 60)
  return ("  %d %s :%s%d, %dms"):format(number, name, TAGS[status] and TAGS[status] .. ", " or "", from,
    math.max(1, ms))
end

local function add_bars(out, list, from)
  for i, item in ipairs(list) do
    if i > BARS then break end
    out[#out + 1] = bar(i, item.name or item.tag, item.status, from, item.duration_ms)
    from = from + item.duration_ms
  end
end

---A timeline that GitHub draws: steps and migrations, one behind the other.
local function add_timeline(out, run)
  local steps, began, migrate_at = {}, 0, 0
  for _, step in ipairs(run.steps) do
    if step.status == "ok" or step.status == "failed" then
      if step.name == "migrate" then migrate_at = began end
      steps[#steps + 1], began = step, began + step.duration_ms
    end
  end
  if #steps == 0 then return end
  out[#out + 1] = "\n```mermaid\ngantt\n  dateFormat x\n  axisFormat %M:%S.%L\n  section steps"
  add_bars(out, steps, 0)
  local done = {}
  for _, item in ipairs(run.migrations) do
    if item.status == "applied" then done[#done + 1] = item end
  end
  if #done > 0 then
    out[#out + 1] = "  section migrations"
    add_bars(out, done, migrate_at)
  end
  out[#out + 1] = "```"
end

---@param run migrator.RunReport
---@return string
function M.page(run)
  local counts = run.applied and (" – %d applied, %d pending"):format(run.applied, run.pending or 0) or ""
  local out = { ("### migrator: %s%s"):format(run.result, counts) }
  if run.stopped then out[#out + 1] = "\n" .. escape(run.stopped) end
  add_error(out, run.error)
  table_of(out, { "", "" }, facts_of(run))
  local rows = {}
  for i, step in ipairs(run.steps) do
    rows[i] = { escape(step.name), step.status, span(step.duration_ms, step.status), escape(step.what) }
  end
  table_of(out, { "step", "result", "time", "" }, rows)
  rows = {}
  for i, item in ipairs(run.migrations) do
    local lock = item.lock and item.lock.mode .. (item.lock.object and " on " .. item.lock.object or "")
    local took = item.status ~= "failed" and span(item.duration_ms, item.status) or "–" -- a failed one has no time
    rows[i] = { escape(item.tag), item.status, took, escape(lock or "–") }
  end
  table_of(out, { "migration", "result", "time", "strongest lock" }, rows)
  add_notes(out, "Warnings", run.warnings)
  add_notes(out, "Notices", run.notices)
  add_timeline(out, run)
  return table.concat(out, "\n") .. "\n"
end

return M
