-- What git knows: a child process each time, NUL-separated output, because names may hold anything but NUL.
local M = {}

local TIMEOUT = 60

-- Nobody is there to be asked for a password, and no lock is worth waiting for.
local QUIET = { GIT_TERMINAL_PROMPT = "0", GIT_OPTIONAL_LOCKS = "0", LC_ALL = "C" }

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
  local ok, result = pcall(process.run, { cmd = args, cwd = cwd, env = QUIET, deadline = clock.now() + TIMEOUT })
  if not ok then
    if type(result) == "table" and result.code == "interrupted" then error(result, 0) end
    return nil, "git cannot be run: " .. first_line(tostring(type(result) == "table" and result.message or result))
  end
  if result.code ~= 0 then return nil, first_line(result.stderr), result.code end
  return result.stdout
end

---The top folder of the work tree and where below it the given one is, or nil and why.
---@param cwd? string
---@return string? root
---@return string prefix "" at the top, else a path with a slash at its end; or why
function M.find_root(cwd)
  local out, why, code = run(cwd, words("rev-parse", "--show-toplevel", "--show-prefix"))
  if out then return out:match("^(.-)\n([^\n]*)\n$") end
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

---Brings one commit from the remote `origin`; answers whether that worked. A full clone stays one: --depth would cut
---it.
---@return boolean
function M.try_fetch(root, ref)
  local depth = M.is_shallow(root) and "--depth=1" or nil
  local args = words("fetch", "--quiet", "--no-tags", "origin", ref)
  if depth then table.insert(args, #args - 1, depth) end
  return run(root, args) ~= nil
end

local STEPS = { "--deepen=100", "--deepen=400", "--deepen=1600", "--unshallow" }

---Where two commits of a shallow clone branched off, with as much history from `origin` as that takes.
---@return string? commit
function M.try_deepen(root, a, b)
  for _, how in ipairs(STEPS) do
    local fetched = M.is_shallow(root) and run(root, words("fetch", "--quiet", "--no-tags", how, "origin", a, b))
    if not fetched then break end
    local base = M.find_merge_base(root, a, b)
    if base then return base end
  end
  return nil
end

---@class migrator.GitFiles
---@field files string[]
---@field submodules table<string, boolean> those of the files that are pointers to another repository

local SUBMODULE = "160000"

---What differs between two commits, or nil and why. A renamed file counts as its old and its new name. Not `git diff`:
---what it shows depends on the settings of user and repository.
---@return migrator.GitFiles?
---@return string? why
function M.find_changed(root, base, head)
  local out, why = run(root, words("diff-tree", "-r", "--raw", "--no-renames", "--ignore-submodules=none", "-z", base,
    head, "--"))
  if not out then return nil, why end
  local found = { files = {}, submodules = {} }
  for before, after, path in out:gmatch(":(%d+) (%d+) %x+ %x+ %a%d*\0([^\0]+)\0") do
    found.files[#found.files + 1] = path
    if before == SUBMODULE or after == SUBMODULE then found.submodules[path] = true end
  end
  return found
end

---@return migrator.GitFiles?
---@return string? why
function M.find_tracked(root)
  local out, why = run(root, words("ls-files", "--stage", "-z"))
  if not out then return nil, why end
  local found = { files = {}, submodules = {} }
  for mode, path in out:gmatch("(%d+) %x+ %d\t([^\0]+)\0") do
    found.files[#found.files + 1] = path
    if mode == SUBMODULE then found.submodules[path] = true end
  end
  return found
end

---Files of the work tree that are not as the last commit has them, new ones too.
---@return string[]?
---@return string? why
function M.find_uncommitted(root)
  local out, why = run(root, words("status", "--porcelain", "--no-renames", "--untracked-files=all",
    "--ignore-submodules=none", "-z"))
  if not out then return nil, why end
  local files = {}
  for path in out:gmatch("..%s([^\0]+)\0") do files[#files + 1] = path end
  return files
end

return M
