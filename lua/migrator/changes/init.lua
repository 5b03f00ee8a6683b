-- Whether the files that matter have changed. It fails open: whenever git cannot say "nothing changed", the answer is
-- "changed", with the reason. A pattern that matches nothing is an error, since such a rule would never fire.
local errors = require "migrator.error"
local event_facts = require "migrator.changes.event"
local git = require "migrator.changes.git"
local glob = require "migrator.lib.glob"
local suggest = require "migrator.lib.suggest"

local M = {}

local OPTIONS = { "paths", "base", "head", "cwd", "event", "fetch", "allow_unmatched", "getenv" }

local function check_options(opts)
  for key in pairs(opts) do
    local known = false
    for _, name in ipairs(OPTIONS) do known = known or name == key end
    if not known then
      errors.raise("config", { message = ("change detection: unknown option %q"):format(tostring(key)),
        hint = suggest.hint(tostring(key), OPTIONS) })
    end
  end
  if type(opts.paths) ~= "table" or #opts.paths == 0 then
    errors.raise("config", { message = "change detection: paths must be a list of patterns" })
  end
end

---A rule list as one matcher: a file belongs if some pattern matches it and no `!` pattern does.
---@param patterns string[]
---@return fun(path: string): boolean matches
---@return {pattern: string, matches: fun(path: string): boolean}[] positive
function M.rules(patterns)
  local positive, negative = {}, {}
  for _, pattern in ipairs(patterns) do
    local is_exclusion = type(pattern) == "string" and pattern:find("^![^(]")
    local list = is_exclusion and negative or positive
    list[#list + 1] = { pattern = pattern, matches = glob.compile(is_exclusion and pattern:sub(2) or pattern) }
  end
  local function any(list, path)
    for _, rule in ipairs(list) do
      if rule.matches(path) then return true end
    end
    return false
  end
  return function(path)
    return (#positive == 0 or any(positive, path)) and not any(negative, path)
  end, positive
end

local function folders_of(files)
  local children = { [""] = {} }
  for _, file in ipairs(files) do
    local parent = ""
    for segment in file:gmatch("([^/]+)/") do
      local path = parent == "" and segment or parent .. "/" .. segment
      if not children[path] then
        children[path] = {}
        table.insert(children[parent], segment)
      end
      parent = path
    end
  end
  return children
end

-- The existing folder whose name is nearest to the first part of the pattern that does not exist.
local function nearest_folder(pattern, files)
  local children, parent = folders_of(files), ""
  for segment in pattern:gsub("^%./", ""):gmatch("[^/]+") do
    if segment:find("[*?%[{(]") then return nil end
    local path = parent == "" and segment or parent .. "/" .. segment
    if not children[path] then
      local near = suggest.nearest(segment, children[parent])
      return near and (parent == "" and near or parent .. "/" .. near) or nil
    end
    parent = path
  end
  return nil
end

-- R124.
local function check_patterns(positive, tracked, changed)
  for _, rule in ipairs(positive) do
    local found = false
    for _, files in ipairs { tracked, changed } do
      for _, file in ipairs(files) do
        found = found or rule.matches(file)
        if found then break end
      end
    end
    if not found then
      local near = nearest_folder(rule.pattern, tracked)
      errors.raise("config", {
        message = ("change detection: the pattern %q matches no file of the repository"):format(rule.pattern),
        hint = near and ("did you mean the folder %q?"):format(near)
          or "patterns are relative to the top of the repository; remove it, or correct it",
      })
    end
  end
end

local function check_ref(ref, name)
  if ref and (type(ref) ~= "string" or not ref:find("^[%w_@][%w._/@^~{}%-]*$")) then
    errors.raise("config", { message = ("change detection: %s is not the name of a commit"):format(name) })
  end
end

local function is_zero(ref)
  return ref:find("^0+$") ~= nil and #ref >= 40
end

local function short(ref)
  return ref:find("^%x+$") and #ref >= 40 and ref:sub(1, 12) or ref
end

local function find_commit(root, ref, may_fetch)
  local commit = git.find_commit(root, ref)
  if commit or not may_fetch then return commit end
  return git.try_fetch(root, ref) and git.find_commit(root, ref) or nil
end

-- The two commits, or nil and why there is nothing to compare.
local function commits(root, opts, event)
  local base, head = opts.base or event.base, opts.head or event.head or "HEAD"
  if event.open and not opts.base then return nil, event.open end
  if not base or base == "" then return nil, "there is no base commit to compare with" end
  check_ref(base, "base")
  check_ref(head, "head")
  if is_zero(base) then return nil, "the branch is new: there is no earlier commit to compare with" end
  if is_zero(head) then return nil, "the branch was deleted" end
  local from = find_commit(root, base, opts.fetch)
  if not from then
    local where = git.is_shallow(root) and "this shallow clone" or "this clone"
    return nil, ("the base commit %s is not in %s"):format(short(base), where)
  end
  local to = find_commit(root, head, opts.fetch)
  if not to and event.head_fallback and not opts.head then to = git.find_commit(root, event.head_fallback) end
  if not to then return nil, ("the commit %s is not in this clone"):format(short(head)) end
  -- Without a common commit the plain difference is the larger set, so it can only say "changed" too often.
  if event.from_merge_base and not opts.base then from = git.find_merge_base(root, from, to) or from end
  return from, to
end

local function select(files, matches)
  local list = {}
  for _, file in ipairs(files) do
    if matches(file) then list[#list + 1] = file end
  end
  return list
end

local function opened(reason)
  return { changed = true, files = {}, reason = reason, is_open = true }
end

local function counted(n, total)
  if total == 0 then return "no file changed" end
  local verb = n == 1 and "matches" or "match"
  return ("%d of %d changed file%s %s"):format(n, total, total == 1 and "" or "s", verb)
end

---Tells whether files that match the patterns changed between two commits; without `base` the CI event says which.
---Raises `config` for a pattern that matches no file at all, and for an unknown option.
---@param opts {paths: string[], base?: string, head?: string, cwd?: string, event?: string, fetch?: boolean}
---@return {changed: boolean, files: string[], reason: string, base: string?, head: string?, is_open: boolean?}
function M.detect(opts)
  check_options(opts)
  local matches, positive = M.rules(opts.paths)
  local root, why = git.find_root(opts.cwd)
  if not root then return opened("no git repository to ask: " .. why) end
  local tracked, why_not = git.find_tracked(root)
  if not tracked then return opened("git cannot list the files: " .. why_not) end
  local base, head = commits(root, opts, event_facts.read(opts.event, opts.getenv))
  local files, why_no_diff
  if base then files, why_no_diff = git.find_changed(root, base, head) end
  if not opts.allow_unmatched then check_patterns(positive, tracked, files or {}) end
  if not base then return opened(head) end
  if not files then return opened("git cannot compare the commits: " .. why_no_diff) end
  local hits = select(files, matches)
  return { changed = #hits > 0, files = hits, reason = counted(#hits, #files), base = base, head = head }
end

return M
