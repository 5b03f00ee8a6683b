---All that comes after the first destructive step, checked before it: first what needs no database, then what does.
local engine = require "migrator.engine"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local plan = require "migrator.plan"
local public = require "migrator.reset.public"
local readers = require "migrator.seed.readers"
local repeatable = require "migrator.repeatable"
local seeds = require "migrator.seed"
local values = require "migrator.seed.values"

local M = {}

local NOTHING = "nothing was dropped"

local function fail(message, hint, file)
  errors.raise("config", { message = message, hint = hint, file = file, state = NOTHING })
end

local READ = {
  csv = function(file, options)
    for _ in readers.csv(file.path, { null = options.null }) do end -- luacheck: ignore
  end,
  jsonl = function(file)
    for _ in readers.jsonl(file.path) do end -- luacheck: ignore
  end,
  json = function(file) readers.json(file.path) end,
}

---Reads every row of a tier's own files, and opens the others: a file that cannot be read is found now.
local function check_files(tier)
  for _, file in ipairs(tier.files) do
    if READ[file.kind] then
      local ok, err = pcall(READ[file.kind], file, tier.tables[file.table] or {})
      if not ok then error(errors.add(err, { state = NOTHING, file = file.path }), 0) end
    end
  end
  for _, name in ipairs(tier.file == tier.folder .. "/tier.lua" and fs.list(tier.folder) or {}) do
    local path = tier.folder .. "/" .. name
    local found = fs.find(path)
    if found and found.type == "file" then
      local handle, why = io.open(path, "rb")
      if not handle then fail("cannot read the file: " .. tostring(why), nil, path) end
      handle:close()
    end
  end
end

---What a tier needs is not there any more after a drop, unless it runs too.
local function check_needs(selection)
  local runs = {}
  for _, tier in ipairs(selection.tiers) do runs[tier.name] = true end
  for _, tier in ipairs(selection.tiers) do
    for _, need in ipairs(tier.needs) do
      if not runs[need] then
        fail(("tier %s needs %s, which would not run"):format(tier.name, need), "seed both, or neither", tier.file)
      end
    end
  end
end

---@class migrator.ResetPlan
---@field journal migrator.Journal
---@field selection migrator.SeedSelection|nil nil: there are no seeds

---Journal, every file, the plan on an empty database, scripts, tiers; with drop also what they read.
---@param config migrator.Config
---@param asked? string[]|migrator.SeedNames
---@param drop? boolean
---@return migrator.ResetPlan
function M.read(config, asked, drop)
  local journal = engine.journal(config)
  engine.refuse(plan.build(journal, {}, { order = config.order, edited = config.edited, missing = config.missing,
    baseline = config.baseline, tx = config.tx }))
  engine.check_attended(config)
  if config.repeatable then repeatable.load(config.repeatable) end
  local has_seeds = asked or fs.find(config.seeds) or config.origins.seeds ~= "default"
  local selection = has_seeds and seeds.load(config, asked) or nil
  if drop and selection then
    check_needs(selection)
    for _, tier in ipairs(selection.tiers) do check_files(tier) end
  end
  return { journal = journal, selection = selection }
end

---The names that the journal's CREATE statements of a kind give, each once.
---@param entries migrator.Entry[]
---@param kind "SCHEMA"|"EXTENSION"|"ROLE"
---@return table<string, true>
function M.created(entries, kind)
  local out = {}
  for _, entry in ipairs(entries) do
    for _, statement in ipairs(entry:statements()) do
      if statement.words:find("^CREATE " .. kind) then
        local rest = statement.text:gsub("^%s*%a+%s+%a+%s+", "", 1)
          :gsub("^[Ii][Ff]%s+[Nn][Oo][Tt]%s+[Ee][Xx][Ii][Ss][Tt][Ss]%s+", "")
          :gsub("^[Aa][Uu][Tt][Hh][Oo][Rr][Ii][Zz][Aa][Tt][Ii][Oo][Nn]%s+", "")
        local quoted = rest:gsub('""', "\0"):match('^"([^"]*)"')
        out[quoted and quoted:gsub("\0", '"') or (rest:match("^[%w_$\128-\255]+") or ""):lower()] = true
      end
    end
  end
  out[""] = nil
  return out
end

local function keys(set)
  local out = {}
  for key in pairs(set) do out[#out + 1] = key end
  table.sort(out)
  return out
end

local function check_extensions(conn, entries)
  for _, row in ipairs(conn:exec([[select w.name from unnest($1::text[]) w(name)
    left join pg_catalog.pg_available_extensions a on a.name = w.name where a.name is null order by 1]],
    values.array(keys(M.created(entries, "EXTENSION"))))) do
    fail(("the migrations create the extension %s, which this server does not have"):format(row.name),
      "install it on the server first")
  end
end

local function check_roles(conn, wanted)
  local made, files = M.created(wanted.journal.entries, "ROLE"), {}
  for _, tier in ipairs(wanted.selection and wanted.selection.tiers or {}) do
    if tier.role and not made[tier.role] then files[tier.role] = tier end
  end
  for _, row in ipairs(conn:exec([[select w.name, r.oid is not null as there,
    coalesce(pg_catalog.pg_has_role(r.oid, 'member'), false) as ours from unnest($1::text[]) w(name)
    left join pg_catalog.pg_roles r on r.rolname = w.name order by 1]], values.array(keys(files)))) do
    local tier = files[row.name]
    if not row.there then
      fail(("tier %s runs as the role %s, which is not there"):format(tier.name, row.name), nil, tier.file)
    elseif not row.ours then
      fail(("tier %s runs as the role %s, and the user %s is not a member of it"):format(tier.name, row.name,
        conn:info().user), nil, tier.file)
    end
  end
end

---What the server must have for what comes after the drop; what cannot be put back as it was is told.
---@param conn migrator.Conn
---@param wanted migrator.ResetPlan
---@param emit fun(name: string, data: table)
function M.check_server(conn, wanted, emit)
  check_extensions(conn, wanted.journal.entries)
  check_roles(conn, wanted)
  local told = {}
  for _, row in ipairs(public.default_privileges(conn)) do
    if not row.ours and not told[row.role] then
      told[row.role] = true
      emit("warning", { message = ("the default privileges of the role %s in schema public will be gone: only that "
        .. "role may grant them again"):format(row.role) })
    end
  end
end

return M
