---Which entries a baseline records: those up to and with a tag that the database does not have. Pure.
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

local M = {}

---@param items migrator.Classified[]
---@param tag string
---@return integer position, migrator.Classified item
function M.find(items, tag)
  local tags = {}
  for i, item in ipairs(items) do
    if item.entry.tag == tag then return i, item end
    tags[i] = item.entry.tag
  end
  local near = suggest.nearest(tag, tags)
  errors.raise("usage", { message = ("the journal has no migration %s"):format(tag),
    hint = near and ("did you mean %s?"):format(near)
    or "`migrator status --all` lists them" })
end

---@param items migrator.Classified[] of plan.classify
---@param upto string a tag, or "all"
---@return migrator.Entry[] to record, migrator.Classified[] left alone although not simply applied
function M.select(items, upto)
  local last = upto == "all" and #items or M.find(items, upto)
  local out, odd = {}, {}
  for i = 1, last do
    local item = items[i]
    if item.state == "pending" or item.state == "stranded" then
      out[#out + 1] = item.entry
    elseif item.state ~= "applied" then
      odd[#odd + 1] = item
    end
  end
  return out, odd
end

return M
