---migrator init: a project to start from, around the Drizzle folder that is there or a new one. It overwrites nothing.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local options = require "migrator.options"
local scaffold = require "migrator.lib.scaffold"
local types = require "migrator.app.types"

local M = {}

local DRIZZLE = { "drizzle.config.ts", "drizzle.config.mts", "drizzle.config.js", "drizzle.config.mjs",
  "drizzle.config.cjs", "drizzle.config.json" }
local JOURNAL = "/meta/_journal.json"
local DEPTH = 4
local SKIP = { node_modules = true, dist = true, build = true, target = true, vendor = true }

local function template(name)
  return host.file(name) or error(("the file %s is not in this binary"):format(name))
end

local function is_folder(path)
  local found = fs.find(path)
  return found ~= nil and found.type == "directory"
end

-- Folders below `root` that have a journal, nearest first.
local function find_journals(root)
  local out, level = {}, { "" }
  for _ = 1, DEPTH do
    local below = {}
    for _, at in ipairs(level) do
      local ok, names = pcall(fs.list, root .. "/" .. at)
      for _, name in ipairs(ok and names or {}) do
        local path = (at == "" and "" or at .. "/") .. name
        if name:sub(1, 1) ~= "." and not SKIP[name] and is_folder(root .. "/" .. path) then
          if fs.find(root .. "/" .. path .. JOURNAL) then out[#out + 1] = path end
          below[#below + 1] = path
        end
      end
    end
    level = below
  end
  return out
end

local function read_drizzle(root, sink)
  for _, name in ipairs(DRIZZLE) do
    if fs.find(root .. "/" .. name) then
      local found = scaffold.read_drizzle(fs.read(root .. "/" .. name))
      found.file = name
      for _, key in ipairs(found.unread) do
        sink:diagnostic("warning", ("%s computes %s, which was not read: check migrator.config.lua"):format(name, key))
      end
      if found.dialect and found.dialect ~= "postgresql" then
        errors.raise("config", { file = root .. "/" .. name,
          message = ("%s is for %s, and this is for PostgreSQL only"):format(name, found.dialect) })
      end
      return found
    end
  end
end

---What is there already: the migrations' folder, and the tracking table if it has another name.
local function look(root, sink)
  local drizzle, journals = read_drizzle(root, sink), find_journals(root)
  local dir, why
  if drizzle and drizzle.out then
    dir, why = drizzle.out, drizzle.file
  elseif journals[1] then
    dir, why = journals[1], "its journal"
    if #journals > 1 then
      sink:diagnostic("warning", ("%d folders have a journal: %s; taken is the first"):format(#journals,
        table.concat(journals, ", ")))
    end
  elseif drizzle then -- drizzle-kit's own default
    dir, why = "drizzle", drizzle.file
  end
  drizzle = drizzle or {}
  return { dir = dir or "migrations", why = why, schema = drizzle.schema, table = drizzle.table }
end

local function settings(found)
  local set = { schema = found.schema, table = found.table }
  if found.why then set.dir = found.dir end
  return set
end

local function pipeline(found)
  local text = template("scripts/pipeline.lua"):gsub("scripts/pipeline%.lua", "pipeline.lua")
  local from = '"MIGRATOR_DIR", "migrations"'
  local at, last = text:find(from, 1, true)
  if not at then error("scripts/pipeline.lua has another default for MIGRATOR_DIR than expected") end
  return text:sub(1, at - 1) .. ('"MIGRATOR_DIR", %q'):format(found.dir) .. text:sub(last + 1)
end

local function files(found)
  return {
    { "pipeline.lua", pipeline(found) },
    { "migrator.config.lua", scaffold.config(options.list, settings(found)) },
    { found.dir .. JOURNAL, template("lua/templates/_journal.json") },
    { "seeds/reference/tier.lua", template("lua/templates/tier.lua") },
    { "seeds/reference/10_example.sql", template("lua/templates/10_example.sql") },
    { ".env.example", template("lua/templates/env.example") },
    { ".github/workflows/migrate.yml", template("lua/templates/migrate.yml") },
  }
end

-- An example beside somebody's own seeds would run with them.
local function is_unwanted(root, path, had_tier)
  return path == "seeds/reference/10_example.sql" and had_tier and not fs.find(root .. "/" .. path)
end

local function write_files(root, found)
  local result = { made = {}, kept = {} }
  local had_tier = fs.find(root .. "/seeds/reference/tier.lua") ~= nil
  for _, file in ipairs(files(found)) do
    local path = root .. "/" .. file[1]
    if fs.find(path) then
      result.kept[#result.kept + 1] = file[1]
    elseif not is_unwanted(root, file[1], had_tier) then
      fs.mkdir(path:match("^(.*)/"))
      fs.write(path, file[2])
      result.made[#result.made + 1] = file[1]
    end
  end
  return result
end

-- A .luarc.json that cannot be merged stops nothing: the scaffold stands without it.
local function write_types(sink, root, result)
  types.write(root .. "/" .. types.FOLDER)
  local ok, outcome = pcall(types.settings, root .. "/.luarc.json", types.FOLDER)
  if not ok then
    if not errors.is(outcome, "config") then error(outcome, 0) end
    sink:diagnostic("warning", outcome.message .. "\n  hint: " .. outcome.hint)
    outcome = "kept"
  end
  local list = outcome == "kept" and result.kept or result.made
  list[#list + 1] = ".luarc.json" .. (outcome == "added" and " (" .. types.FOLDER .. " added)" or "")
  result.made[#result.made + 1] = types.FOLDER .. "/"
end

local function next_steps(root, found, result)
  local out = {}
  if root ~= "." then out[#out + 1] = "cd " .. root end
  out[#out + 1] = "cp .env.example .env             # set DATABASE_URL; keep .env and .migrator/ out of git"
  if found.why then
    out[#out + 1] = "migrator status                  # what the database has and what the journal expects"
    out[#out + 1] = "migrator plan                    # what a run would do"
  else
    out[#out + 1] = "migrator new create_users        # a first migration"
    out[#out + 1] = "migrator migrate --ephemeral     # try it on a throw-away server"
  end
  out[#out + 1] = "migrator pipeline.lua            # what CI runs"
  for _, path in ipairs(result.made) do
    if path:find("migrate.yml", 1, true) then
      out[#out + 1] = "# on GitHub: secret DATABASE_URL, variable MIGRATOR_PACKAGE_URL, environment production"
    end
  end
  return out
end

local function tell(sink, root, found, result)
  if found.why then
    sink:line(("Found migrations in %s (%s)%s"):format(found.dir, found.why, (found.schema or found.table)
      and (", tracked in %s.%s"):format(found.schema or "drizzle", found.table or "__drizzle_migrations") or ""))
  end
  for _, path in ipairs(result.made) do sink:line("  made  " .. path) end
  for _, path in ipairs(result.kept) do sink:line("  kept  " .. path) end
  sink:line("Next:")
  for _, line in ipairs(next_steps(root, found, result)) do sink:line("  " .. line) end
end

---@param _ migrator.Config
---@param sink migrator.Sink
---@param args { folder?: string }
function M.run(_, sink, args)
  local root = (args.folder or "."):gsub("(.)/+$", "%1")
  if fs.find(root) and not is_folder(root) then
    errors.raise("usage", { message = root .. " is a file, not a folder" })
  end
  local found = look(root, sink)
  local result = write_files(root, found)
  write_types(sink, root, result)
  tell(sink, root, found, result)
  local array = require("migrator.sink").array
  sink:document { folder = root, dir = found.dir, schema = found.schema, table = found.table, made = array(result.made),
    kept = array(result.kept) }
  return 0
end

return M
