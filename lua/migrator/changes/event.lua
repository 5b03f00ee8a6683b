-- Which two commits the run is about, from what the CI system says of itself.
local M = {}

-- Runs that stand for no push: of GitHub's events and of GitLab's pipeline sources.
local MANUAL = { workflow_dispatch = "a manual run", repository_dispatch = "a run started from outside",
  workflow_run = "a run after another workflow", schedule = "a scheduled run", web = "a manual run",
  webide = "a manual run", chat = "a manual run", api = "a run started from outside",
  trigger = "a run started from outside", pipeline = "a run started from another project",
  parent_pipeline = "a child of another pipeline" }

-- CI systems that set no CI; of the others this program knows two.
local SYSTEMS = { "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID", "BUILDKITE", "CIRCLECI" }

local function is_text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

-- What cannot be read is nothing that could say "unchanged".
local function payload_of(getenv)
  local path = is_text(getenv("GITHUB_EVENT_PATH"))
  local fs = require "migrator.core.fs"
  if not path or not fs.find(path) then return {} end
  local read, value = pcall(function() return require("cjson").decode(fs.read(path)) end)
  if not read or type(value) ~= "table" then return nil, "the event file of the CI run is not JSON" end
  return value
end

local function table_of(value)
  return type(value) == "table" and value or {}
end

local GITHUB = {}

function GITHUB.push(event, payload)
  event.base, event.head = is_text(payload.before), is_text(payload.after) or event.head
  event.forced = payload.forced == true
  event.what = (is_text(payload.ref) or ""):find("^refs/tags/") and "tag" or "branch"
end

function GITHUB.merge_group(event, payload)
  local group = table_of(payload.merge_group)
  event.base, event.head = is_text(group.base_sha), is_text(group.head_sha) or event.head
end

-- Also _target, _review and _review_comment. A pull request is checked out as a merge commit; on _target the checkout
-- is the base, and only the head's id helps.
function GITHUB.pull_request(event, payload)
  local pull = table_of(payload.pull_request)
  event.base = is_text(table_of(pull.base).sha)
  event.head = is_text(table_of(pull.head).sha)
  event.head_fallback = event.name ~= "pull_request_target" and "HEAD" or nil
  event.from_merge_base = true
end

local function github(name, getenv)
  local event = { provider = "github", name = name, head = is_text(getenv("GITHUB_SHA")), open = MANUAL[name] }
  if event.open then return event end
  local read = GITHUB[name] or (name:find("^pull_request") and GITHUB.pull_request)
  if not read then
    event.open = ("the event %q is neither a push nor a pull request"):format(name)
    return event
  end
  local payload, why = payload_of(getenv)
  if payload then read(event, payload) else event.open = why end
  return event
end

local GITLAB = {}

function GITLAB.push(event, getenv)
  event.base = is_text(getenv("CI_COMMIT_BEFORE_SHA"))
  if is_text(getenv("CI_COMMIT_TAG")) then event.what = "tag" end
end

-- The base of the merge request is the commit that it branched off already; CI_COMMIT_BEFORE_SHA is all zeros here.
function GITLAB.merge_request_event(event, getenv)
  event.base = is_text(getenv("CI_MERGE_REQUEST_DIFF_BASE_SHA"))
  if event.base then return end
  event.base, event.from_merge_base = is_text(getenv("CI_MERGE_REQUEST_TARGET_BRANCH_SHA")), true
end

function GITLAB.external_pull_request_event(event, getenv)
  event.base = is_text(getenv("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA"))
  event.head = is_text(getenv("CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_SHA")) or event.head
  event.from_merge_base = true
end

local function gitlab(name, getenv)
  local event = { provider = "gitlab", name = name, head = is_text(getenv("CI_COMMIT_SHA")), open = MANUAL[name],
    what = "branch" }
  if event.open then return event end
  if GITLAB[name] then
    GITLAB[name](event, getenv)
  else
    event.open = ("the pipeline source %q is neither a push nor a merge request"):format(name)
  end
  return event
end

---@class migrator.CiEvent
---@field provider "github"|"gitlab"|"git"
---@field name string
---@field base? string
---@field head? string
---@field head_fallback? string when the clone lacks the head
---@field open? string why no comparison is possible
---@field from_merge_base? boolean compare from where the head branched off
---@field forced? boolean
---@field what? "branch"|"tag" what was pushed

---Facts of the CI event.
---@param name? string an event's name, in place of the one in the environment
---@param getenv? fun(name: string): string?
---@return migrator.CiEvent
function M.read(name, getenv)
  getenv = getenv or os.getenv
  if is_text(getenv("GITLAB_CI")) then
    return gitlab(name or is_text(getenv("CI_PIPELINE_SOURCE")) or "push", getenv)
  end
  name = name or is_text(getenv("GITHUB_EVENT_NAME"))
  if name then return github(name, getenv) end
  local event = { provider = "git", name = "none" }
  local ci = is_text(getenv("CI")) and getenv("CI") ~= "false"
  for _, variable in ipairs(SYSTEMS) do ci = ci or is_text(getenv(variable)) end
  -- How many commits a push of theirs had, other systems say elsewhere: HEAD~1 could miss some.
  if ci then event.open = "what was pushed this CI system does not say: give base" end
  return event
end

return M
