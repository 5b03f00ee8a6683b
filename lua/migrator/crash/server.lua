---The throw-away server of a crash matrix: databases copied from a prepared one, runs in processes of their own.
local clock = require "migrator.core.clock"
local config_module = require "migrator.config"
local db = require "migrator.db"
local engine = require "migrator.engine"
local ephemeral = require "migrator.ephemeral"
local errors = require "migrator.error"
local find = require "migrator.ephemeral.find"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local lanes = require "migrator.crash.lanes"
local options = require "migrator.options"
local process = require "migrator.core.process"
local sink_module = require "migrator.sink"
local sql = require "migrator.core.sql"

local M = {}

local BASE = "crash_base"
local PATIENCE = 120 -- seconds that a run may take; nobody is in its way
local ROLES = "select rolname from pg_catalog.pg_roles where rolname !~ '^pg_'"

---@class migrator.crash.Server
---@field server migrator.Ephemeral
local Server = {}
Server.__index = Server

local OURS = { url = true, config = true, env_file = true, ephemeral = true, json = true, quiet = true, verbose = true,
  log = true }

local function plain_settings(config)
  local out = {}
  for _, option in ipairs(options.list) do
    if not OURS[option.name] then out[option.name] = config[option.name] end
  end
  return out
end

---@param config migrator.Config
---@param sink migrator.Sink
---@return migrator.crash.Server
function M.start(config, sink)
  local attached, server = ephemeral.attach(config, sink)
  local self = setmetatable({ config = attached, server = server, settings = plain_settings(config), sessions = {},
    programs = find.programs(), kept = {} }, Server)
  local ok, err = pcall(function()
    self.folder = fs.temp("migrator-crash")
    self:query(1, "create database " .. BASE .. " template template0")
    self.file_copy = self.sessions[1]:info().version_number >= 150000 and " strategy file_copy" or ""
  end)
  if ok then return self end
  self:close()
  error(err, 0)
end

function Server:close()
  for _, conn in pairs(self.sessions) do conn:close() end
  self.server:stop()
  if self.folder then fs.remove(self.folder) end
end

Server.__close = Server.close

function Server:url_of(name) return self.server:url_of(name) end

---Runs a statement on a lane's own session; other lanes go on meanwhile.
function Server:query(lane, text)
  local conn = self.sessions[lane] or db.connect(self.server.url)
  self.sessions[lane] = conn
  local batch <close> = conn:batch()
  batch:queue(text)
  batch:sync()
  batch:flush()
  lanes.await(function() return batch:wait(clock.now()) end)
  local rows = batch:next()
  batch:next()
  return rows
end

function Server:clone(lane, name)
  self:query(lane, ("create database %s template %s%s"):format(name, BASE, self.file_copy))
end

---Drops a database, and the roles that were made with it: they are the server's, not the database's.
function Server:drop(lane, name)
  self:query(lane, ("drop database if exists %s with (force)"):format(name))
  for _, role in ipairs(self:new_roles(lane)) do self:query(lane, "drop role " .. sql.quote_ident(role)) end
end

---@return string[] roles that the base does not have
function Server:new_roles(lane)
  local out = {}
  if self.same_roles then return out end
  for _, row in ipairs(self:query(lane, ROLES)) do
    if not self.kept[row.rolname] then out[#out + 1] = row.rolname end
  end
  return out
end

---Applies the first entries of the journal to the base, undisturbed.
---@param count integer
function Server:prepare(count)
  if count > 0 then
    local config = config_module.with(self.config, { url = self:url_of(BASE) }, "crash matrix")
    local entries = engine.journal(config)
    entries.entries = table.move(entries.entries, 1, count, 1, {})
    local session = engine.open(config, { lock = true })
    local ok, outcome = pcall(function()
      local found = engine.plan(config, entries, session)
      engine.refuse(found)
      return engine.apply(config, found, session, function() end)
    end)
    engine.release(session)
    if not ok then error(outcome, 0) end
    if outcome.failed then error(outcome.failed.error, 0) end
  end
  for _, row in ipairs(self:query(1, ROLES)) do self.kept[row.rolname] = true end
end

local function error_of(log)
  local text = fs.find(log) and fs.read(log) or ""
  return text:match("error: ([^\n]*)") or text:match("([^\n]*)\n?$")
end

---@class migrator.crash.Ran
---@field code integer
---@field signal? string
---@field message string its error, or its last line
---@field applied? integer
---@field points? migrator.crash.Point[]

local function await(child)
  local deadline = clock.deadline(PATIENCE)
  return lanes.await(function()
    if clock.now() > deadline then
      child:kill("KILL")
      return { code = -1 }
    end
    return child:status()
  end)
end

---One run, in a process of its own.
---@param name string database
---@param job table what app/crash.lua is told besides
---@return migrator.crash.Ran
function Server:run(name, job)
  local path = self.folder .. "/" .. name .. "-" .. job.how
  job.url, job.watch_url, job.settings, job.notes = self:url_of(name), self.server.url, self.settings, path .. ".notes"
  fs.write(path, sink_module.encode(job))
  local cmd = { host.program(), "crash", path }
  for flag, value in pairs { ["--config"] = self.config.project, ["--env-file"] = self.config.env_file } do
    if value then table.move({ flag, value }, 1, 2, #cmd + 1, cmd) end
  end
  local child <close> = process.start { cmd = cmd, log = path .. ".log", guard = false,
    env = { GITHUB_ACTIONS = false, GITHUB_STEP_SUMMARY = false } }
  local status = await(child)
  local out = { code = status.code, signal = status.signal, message = error_of(path .. ".log") }
  if status.code == -1 then out.message = ("it had not ended after %d s"):format(PATIENCE) end
  if fs.find(job.notes) then
    local notes = require("cjson").decode(fs.read(job.notes))
    out.applied, out.points = math.tointeger(notes.applied), notes.points
  end
  return out
end

local NOISE = { "^%-%- Dumped from ", "^%-%- Dumped by ", "^\\restrict", "^\\unrestrict" }

local function is_noise(line)
  for _, pattern in ipairs(NOISE) do
    if line:find(pattern) then return true end
  end
  return false
end

---The schema, as the server's own pg_dump prints it.
---@param name string
---@return string
function Server:dump(name)
  local path = self.folder .. "/" .. name .. ".sql"
  local child <close> = process.start { cmd = { self.programs .. "/pg_dump", "-s", "-f", path, "-d",
    self:url_of(name) }, log = path .. ".log", guard = false }
  local status = await(child)
  if status.code ~= 0 then
    errors.raise("config", { message = "pg_dump fails: " .. error_of(path .. ".log"),
      hint = "it is taken from the folder of the server's programs: " .. self.programs })
  end
  local out = {}
  for line in fs.read(path):gmatch("([^\n]*)\n") do
    if not is_noise(line) then out[#out + 1] = line end
  end
  return table.concat(out, "\n")
end

---Removes what the runs on a database left in our folder.
function Server:forget(name)
  for _, ending in ipairs { "-kill", "-lose", "-run", "-record" } do
    for _, more in ipairs { "", ".log", ".notes" } do fs.remove(self.folder .. "/" .. name .. ending .. more) end
  end
  fs.remove(self.folder .. "/" .. name .. ".sql")
  fs.remove(self.folder .. "/" .. name .. ".sql.log")
end

return M
