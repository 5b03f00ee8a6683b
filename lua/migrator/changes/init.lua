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
---@return fun(path: string): boolean is_excluded
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
  local function is_excluded(path) return any(negative, path) end
  return function(path)
    return (#positive == 0 or any(positive, path)) and not is_excluded(path)
  end, positive, is_excluded
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

-- Of another repository inside this one git shows a pointer, not the files: can the pattern mean one of them?
local function reaches_into(pattern, path)
  local plain = pattern:gsub("^%./", ""):match("^[^*?%[{(!@+]*"):match("^(.*/)") or ""
  local inside = path .. "/"
  if plain:sub(1, #inside) == inside then return true end
  return inside:sub(1, #plain) == plain and pattern:find("/", #plain + 1, true) ~= nil
end

local function is_met(rule, found)
  for _, file in ipairs(found.files) do
    if rule.matches(file) then return true end
  end
  for path in pairs(found.submodules) do
    if reaches_into(rule.pattern, path) then return true end
  end
  return false
end

-- R124.
local function check_patterns(positive, tracked, changed)
  for _, rule in ipairs(positive) do
    if not is_met(rule, tracked) and not (changed and is_met(rule, changed)) then
      local near = nearest_folder(rule.pattern, tracked.files)
      errors.raise("config", {
        message = ("change detection: the pattern %q matches no file of the repository"):format(rule.pattern),
        hint = near and ("did you mean the folder %q?"):format(near)
          or "patterns are relative to the top of the repository; remove it, or correct it",
      })
    end
  end
end

-- Nothing that git could take for an option.
local function is_ref(ref)
  return type(ref) == "string" and ref:find("^[%w_@][%w._/@^~{}%-]*$") ~= nil
end

local function check_ref(ref, name)
  if ref ~= nil and not is_ref(ref) then
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

local function clone_of(root)
  return git.is_shallow(root) and "this shallow clone" or "this clone"
end

-- Without a CI system: what is not pushed yet, else the last commit.
local function plain_commits(root)
  local head = git.find_commit(root, "HEAD")
  if not head then return nil, "there is no commit yet" end
  local upstream = git.find_commit(root, "@{upstream}")
  local base = upstream and git.find_merge_base(root, upstream, head)
  if base and base ~= head then return base, head, "since the upstream branch" end
  base = git.find_commit(root, "HEAD~1")
  if base then return base, head, "since HEAD~1" end
  return nil, "there is no earlier commit in " .. clone_of(root)
end

-- Names of commits; what a script says wrong is its mistake, what an event says wrong is a reason to fail open.
local function names(opts, event)
  check_ref(opts.base, "base")
  check_ref(opts.head, "head")
  local base, head = opts.base or event.base, opts.head or event.head or "HEAD"
  if event.open and not opts.base then return nil, event.open end
  if not base or base == "" then return nil, "there is no base commit to compare with" end
  if not is_ref(base) or not is_ref(head) then return nil, "the event does not name commits" end
  if is_zero(base) then
    return nil, ("the %s is new: there is no earlier commit to compare with"):format(event.what or "branch")
  end
  if is_zero(head) then return nil, ("the %s was deleted"):format(event.what or "branch") end
  return base, head
end

-- The two commits, or nil and why there is nothing to compare.
local function commits(root, opts, event)
  if event.provider == "git" and not event.open and not opts.base then
    if not opts.head then return plain_commits(root) end
    return nil, "there is no base commit to compare with"
  end
  local base, head = names(opts, event)
  if not base then return nil, head end
  local from = find_commit(root, base, opts.fetch)
  if not from then
    local more = not opts.fetch and " (fetch = true would ask origin for it)" or ""
    return nil, ("the base commit %s is not in %s%s"):format(short(base), clone_of(root),
      event.forced and " (it was pushed with force)" or more)
  end
  local to = find_commit(root, head, opts.fetch)
  if not to and event.head_fallback and not opts.head then to = git.find_commit(root, event.head_fallback) end
  if not to then return nil, ("the commit %s is not in %s"):format(short(head), clone_of(root)) end
  if not event.from_merge_base or opts.base then return from, to end
  -- Without a common commit the plain difference is the larger set, so it can only say "changed" too often.
  return git.find_merge_base(root, from, to) or (opts.fetch and git.try_deepen(root, from, to)) or from, to
end

-- The files that matter. A submodule that moved may hold some, unless it is left out itself.
local function select(found, matches, positive, is_excluded)
  local list = {}
  for _, file in ipairs(found.files) do
    local hit = matches(file)
    if not hit and found.submodules[file] and not is_excluded(file) then
      for _, rule in ipairs(positive) do hit = hit or reaches_into(rule.pattern, file) end
    end
    if hit then list[#list + 1] = file end
  end
  return list
end

local function opened(reason)
  return { changed = true, files = {}, reason = reason, is_open = true }
end

local function counted(n, total, since)
  if total == 0 then return "no file changed" .. since end
  local verb = n == 1 and "matches" or "match"
  return ("%d of %d changed file%s %s%s"):format(n, total, total == 1 and "" or "s", verb, since)
end

-- On somebody's own machine what is not committed yet counts too.
local function add_uncommitted(root, found)
  local more, why = git.find_uncommitted(root)
  if not more then return nil, why end
  local seen = {}
  for _, file in ipairs(found.files) do seen[file] = true end
  for _, file in ipairs(more) do
    if not seen[file] then found.files[#found.files + 1] = file end
  end
  return found
end

local function compare(root, base, head, since)
  local found, why = git.find_changed(root, base, head)
  if found and since then found, why = add_uncommitted(root, found) end
  return found, why
end

-- `./x` is of the working directory, which may be a folder of the repository; anything else is of its top.
local function place(patterns, prefix)
  if prefix == "" then return patterns end
  local out, plain = {}, prefix:gsub("[*?%[%]{}()!@+\\|]", "\\%0")
  for i, pattern in ipairs(patterns) do
    local is_text = type(pattern) == "string"
    out[i] = is_text and pattern:gsub("^(!?)%./", function(no) return no .. plain end) or pattern
  end
  return out
end

---Tells whether files that match the patterns changed between two commits; without `base` the CI event says which.
---Raises `config` for a pattern that matches no file at all, and for an unknown option.
---@param opts {paths: string[], base?: string, head?: string, cwd?: string, event?: string, fetch?: boolean}
---@return {changed: boolean, files: string[], reason: string, base: string?, head: string?, is_open: boolean?}
function M.detect(opts)
  check_options(opts)
  local root, prefix = git.find_root(opts.cwd)
  local matches, positive, is_excluded = M.rules(root and place(opts.paths, prefix) or opts.paths)
  if not root then return opened("no git repository to ask: " .. prefix) end
  local tracked, why_not = git.find_tracked(root)
  if not tracked then return opened("git cannot list the files: " .. why_not) end
  local event = event_facts.read(opts.event, opts.getenv)
  if event.provider == "git" then add_uncommitted(root, tracked) end -- a new file is there before git knows of it
  local base, head, since = commits(root, opts, event)
  local found, why_no_diff
  if base then found, why_no_diff = compare(root, base, head, since) end
  if not opts.allow_unmatched then check_patterns(positive, tracked, found) end
  if not base then return opened(head) end
  if not found then return opened("git cannot compare the commits: " .. why_no_diff) end
  local hits = select(found, matches, positive, is_excluded)
  return { changed = #hits > 0, files = hits, base = base, head = head,
    reason = counted(#hits, #found.files, since and " " .. since or "") }
end

return M
