---Small Drizzle folders, written where a spec wants one.
local cjson = require "cjson"
local tmp = require "spec.support.tmp"

local M = {}

M.T = 1700000000000

---A folder with a journal and its files. Each migration: { tag, sql } or { tag, sql, when = …, idx = … }.
---@param list table[]
---@param dir? string write into this folder instead of a new one
---@return string dir
function M.write(list, dir)
  dir = dir or tmp.dir {}
  local entries = {}
  for i, item in ipairs(list) do
    entries[i] = ('    {"idx": %s, "version": "7", "when": %s, "tag": %s, "breakpoints": true}'):format(
      item.idx or i - 1, item.when or ("%d"):format(M.T + i - 1), cjson.encode(item[1]))
    if item[2] then tmp.write(dir .. "/" .. item[1] .. ".sql", item[2]) end
  end
  tmp.write(dir .. "/meta/_journal.json", '{\n  "version": "7",\n  "dialect": "postgresql",\n  "entries": [\n'
    .. table.concat(entries, ",\n") .. "\n  ]\n}\n")
  return dir
end

---The folder of shared corpora, or nil where there is none.
function M.shared()
  local fs = require "migrator.core.fs"
  local path = require("migrator.core.host").environment().MIGRATOR_SHARED or "../shared"
  return fs.find(path .. "/corpus") and path or nil
end

return M
