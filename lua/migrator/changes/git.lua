-- What git knows: a child process each time, NUL-separated output, because names may hold anything but NUL.
local M = {}

local TIMEOUT = 60

local function words(...)
  return { "git", "-c", "core.quotepath=off", ... }
end

local function first_line(text)
  return (text or ""):match("[^\r\n]+") or "no message"
end

-- Answers stdout, or nil and why: git's absence is a fact to report here, not a failure.
local function run(cwd, args)
  local process = require "migrator.core.process"
  local clock = require "migrator.core.clock"
  local ok, result = pcall(process.run, { cmd = args, cwd = cwd, deadline = clock.now() + TIMEOUT })
  if not ok then
    if type(result) == "table" and result.code == "interrupted" then error(result, 0) end
    return nil, "git cannot be run: " .. first_line(tostring(type(result) == "table" and result.message or result))
  end
  if result.code ~= 0 then return nil, first_line(result.stderr), result.code end
  return result.stdout
end

local function split_nul(text)
  local list = {}
  for name in text:gmatch("([^\0]+)") do list[#list + 1] = name end
  return list
end

---The top folder of the work tree, or nil and why.
---@param cwd? string
---@return string? root
---@return string? why
function M.find_root(cwd)
  local out, why, code = run(cwd, words("rev-parse", "--show-toplevel"))
  if out then return (out:gsub("\n$", "")) end
  if code == 127 then return nil, "git is not installed" end
  return nil, why
end

---The id of a commit that this clone holds, or nil.
---@return string?
function M.find_commit(root, ref)
  local out = run(root, words("rev-parse", "--verify", "--quiet", ref .. "^{commit}"))
  return out and out:match("^%x+") or nil
end

---@return string?
function M.find_merge_base(root, a, b)
  local out = run(root, words("merge-base", a, b))
  return out and out:match("^%x+") or nil
end

---@return boolean
function M.is_shallow(root)
  local out = run(root, words("rev-parse", "--is-shallow-repository"))
  return out ~= nil and out:find("^true") ~= nil
end

---Brings one commit from the remote `origin`; answers whether that worked.
---@return boolean
function M.try_fetch(root, ref)
  return run(root, words("fetch", "--quiet", "--depth=1", "--no-tags", "origin", ref)) ~= nil
end

---Names of files that differ between two commits, or nil and why. A renamed file counts as its old and its new name.
---@return string[]?
---@return string? why
function M.find_changed(root, base, head)
  local out, why = run(root, words("diff", "--no-renames", "--name-only", "-z", base, head, "--"))
  if not out then return nil, why end
  return split_nul(out)
end

---@return string[]?
---@return string? why
function M.find_tracked(root)
  local out, why = run(root, words("ls-files", "-z"))
  if not out then return nil, why end
  return split_nul(out)
end

return M
