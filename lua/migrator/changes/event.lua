-- Which two commits the run is about, from what the CI system says of itself.
local errors = require "migrator.error"

local M = {}

local MANUAL = { workflow_dispatch = "a manual run", repository_dispatch = "a run started from outside",
  schedule = "a scheduled run", web = "a manual run", api = "a run started from outside",
  trigger = "a run started from outside", pipeline = "a run started from outside" }

local function is_text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

local function payload_of(getenv)
  local path = is_text(getenv("GITHUB_EVENT_PATH"))
  local fs = require "migrator.core.fs"
  if not path or not fs.find(path) then return {} end
  local ok, value = pcall(require("cjson").decode, fs.read(path))
  if not ok or type(value) ~= "table" then
    errors.raise("config", { message = "the event file of the CI run is not JSON", file = path })
  end
  return value
end

local function table_of(value)
  return type(value) == "table" and value or {}
end

local function github(name, getenv)
  local event = { provider = "github", name = name, head = is_text(getenv("GITHUB_SHA")) }
  if MANUAL[name] then
    event.open = MANUAL[name]
    return event
  end
  local payload = payload_of(getenv)
  if name == "push" then
    event.base, event.head = is_text(payload.before), is_text(payload.after) or event.head
  elseif name:find("^pull_request") then
    local pull = table_of(payload.pull_request)
    event.base = is_text(table_of(pull.base).sha)
    -- A pull request is checked out as a merge commit; on _target the checkout is the base, only the head's id helps.
    event.head = is_text(table_of(pull.head).sha)
    event.head_fallback = name == "pull_request" and "HEAD" or nil
    event.from_merge_base = true
  elseif name == "merge_group" then
    local group = table_of(payload.merge_group)
    event.base, event.head = is_text(group.base_sha), is_text(group.head_sha) or event.head
  else
    event.open = ("the event %q is neither a push nor a pull request"):format(name)
  end
  return event
end

local function gitlab(name, getenv)
  local event = { provider = "gitlab", name = name, head = is_text(getenv("CI_COMMIT_SHA")), open = MANUAL[name] }
  event.base = is_text(getenv("CI_MERGE_REQUEST_DIFF_BASE_SHA")) or is_text(getenv("CI_COMMIT_BEFORE_SHA"))
  return event
end

---Facts of the CI event. `open` is the reason why no comparison is possible, if there is one.
---@param name? string an event's name, in place of the one in the environment
---@param getenv? fun(name: string): string?
---@return {provider: string, name: string, base: string?, head: string?, open: string?, from_merge_base: boolean?}
function M.read(name, getenv)
  getenv = getenv or os.getenv
  if getenv("GITLAB_CI") then return gitlab(name or getenv("CI_PIPELINE_SOURCE") or "push", getenv) end
  name = name or is_text(getenv("GITHUB_EVENT_NAME"))
  if name then return github(name, getenv) end
  return { provider = "none", name = "none" }
end

return M
