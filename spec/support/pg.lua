---One throw-away server for the whole run, started when the first spec asks for it.
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local errors = require "migrator.error"
local hash = require "migrator.core.hash"
local process = require "migrator.core.process"
local sql = require "migrator.core.sql"
local wait = require "spec.support.wait"

local M = {}

local PREFIX = "migrator_test_"
local server, admin

---How many things are held here on purpose, for the file or the run.
function M.held() return (server and 1 or 0) + (admin and 1 or 0) end

---@return migrator.Ephemeral
function M.server()
  server = server or ephemeral.start()
  return server
end

---A session of the superuser in the database `postgres`, kept until the end of the file.
---@return migrator.Conn
function M.admin()
  if not admin or admin:status() == "closed" then admin = db.connect(M.server().url) end
  return admin
end

local function check_name(name)
  if name:sub(1, #PREFIX) ~= PREFIX then
    error(("refusing to touch database %q: it is not a test's"):format(name), 3)
  end
end

---Makes a fresh, empty database.
---@param name? string the rest of its name
---@param template? string a database of pg.database to copy
---@return string url
---@return string name
function M.database(name, template)
  local full = PREFIX .. (name and name .. "_" or "") .. hash.random_hex(4)
  local conn <close> = db.connect(M.server().url)
  conn:exec(("create database %s template %s"):format(sql.quote_ident(full), sql.quote_ident(template or "template0")))
  return M.server():url_of(full), full
end

---Waits until no run holds a lock there any more: a session's end takes the server a moment.
---@param url string
function M.settle(url)
  local conn <close> = db.connect(url)
  wait.till(function()
    return conn:value [[select count(*) = 0 from pg_catalog.pg_locks where locktype = 'advisory'
      and database = (select oid from pg_catalog.pg_database where datname = current_database())]]
  end)
end

---Drops a database of pg.database, whoever is connected to it.
---@param name string
function M.drop(name)
  check_name(name)
  local conn <close> = db.connect(M.server().url)
  conn:exec(("drop database if exists %s with (force)"):format(sql.quote_ident(name)))
end

---The path of a program of the server, or nil.
---@param name string
function M.program(name)
  local path = require("migrator.ephemeral.find").programs() .. "/" .. name
  return process.find(path) or process.find(name)
end

-- The lines that depend on the versions of pg_dump and of the server.
local function is_noise(line)
  for _, start in ipairs { "%-%- Dumped from ", "%-%- Dumped by ", "\\restrict", "\\unrestrict" } do
    if line:find("^" .. start) then return true end
  end
end

---The schema as `pg_dump -s` prints it, less the lines that name versions.
---@param url string
---@param ... string other options instead of --no-owner
---@return string
function M.dump(url, ...)
  local options = select("#", ...) > 0 and { ... } or { "--no-owner" }
  local ran = process.run { cmd = { M.program("pg_dump"), "-s", "-d", url, table.unpack(options) } }
  if ran.code ~= 0 then errors.raise("script", { message = "pg_dump: " .. ran.stderr }) end
  local out = {}
  for line in ran.stdout:gmatch("([^\n]*)\n") do
    if not is_noise(line) then out[#out + 1] = line end
  end
  return table.concat(out, "\n") .. "\n"
end

---Closes the session of pg.admin; the runner does so after each file.
function M.close()
  if admin then admin:close() end
  admin = nil
end

function M.stop()
  M.close()
  if server then server:stop() end
  server = nil
end

return M
