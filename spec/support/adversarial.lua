---Runs a case of the shared adversarial set: its folders one after the other against one database, compared with what
---drizzle-orm left behind.
local cjson = require "cjson"
local cli = require "spec.support.cli"
local db = require "migrator.db"
local fs = require "migrator.core.fs"
local pg = require "spec.support.pg"

local M = {}

local function rows(url)
  local conn <close> = db.connect(url)
  if not conn:value "select to_regclass('drizzle.__drizzle_migrations') is not null" then return "" end
  local out = { "id\thash\tcreated_at\n" }
  for i, row in ipairs(conn:exec "select id, hash, created_at::text from drizzle.__drizzle_migrations order by id") do
    out[i + 1] = ("%d\t%s\t%s\n"):format(row.id, row.hash, row.created_at == db.null and "" or row.created_at)
  end
  return table.concat(out)
end

---@param path string the case's folder
---@return { code: integer, error: string, same: boolean, same_schema: boolean, drizzle: table }[] one for each step
function M.run(path)
  local url, name = pg.database()
  local expected = cjson.decode(fs.read(path .. "/expected/expected.json"))
  local out = {}
  for n, step in ipairs(expected.steps) do
    local folder = ("%s/step%d"):format(path, n)
    if fs.find(folder .. ".pre.sql") then
      local conn <close> = db.connect(url)
      conn:script(fs.read(folder .. ".pre.sql"))
    end
    local ran = cli.run { "migrate", "--dir", folder, "--url", url }
    local schema, tracking = path .. "/expected/step" .. n .. ".schema.sql", path .. "/expected/step" .. n
      .. ".tracking.tsv"
    local wanted = fs.find(tracking) and fs.read(tracking) or ""
    local found = rows(url)
    out[n] = { code = ran.code, drizzle = step, stderr = ran.stderr,
      error = (ran.stderr:match("error: ([^\n]*)") or ""):gsub(folder:gsub("%p", "%%%0") .. "/?", ""),
      same_schema = fs.find(schema) ~= nil and fs.read(schema) == pg.dump(url) }
    out[n].same = out[n].same_schema and (found == wanted or (found == "" and wanted == "id\thash\tcreated_at\n"))
  end
  pg.drop(name)
  return out
end

return M
