---Foldable parts of a CI system's log, written by way of a sink: masked, and never into the document of --json.
local ci = require "migrator.ci"

local M = {}

local count = 0

local function provider_of(environment)
  if environment.GITHUB_ACTIONS == "true" then return "github" end
  return environment.GITLAB_CI and "gitlab" or nil
end

-- What a title could do to the log: end its line, or begin an escape sequence.
local function clean(title) return (title:gsub("%c+", " "):sub(1, 200)) end

---Opens a part, where the log has such a thing.
---@param sink migrator.Sink
---@param environment table<string, string>
---@param title string
---@param folded? boolean closed at first on GitLab; on GitHub every group is
---@return fun()|nil close
function M.open(sink, environment, title, folded)
  local provider = provider_of(environment)
  if not provider or sink.quiet or sink.log_json then return nil end
  local stream = sink.json_mode and "stderr" or "stdout"
  title = clean(title)
  if provider == "github" then
    sink:write(stream, ci.command("group", {}, title))
    return function() sink:write(stream, "::endgroup::\n") end
  end
  count = count + 1
  local name = ("migrator_%d_%s"):format(count, title:gsub("[^%w_.-]", "_"):lower())
  sink:write(stream, ("\27[0Ksection_start:%d:%s%s\r\27[0K%s\n"):format(os.time(), name,
    folded and "[collapsed=true]" or "", title))
  return function() sink:write(stream, ("\27[0Ksection_end:%d:%s\r\27[0K\n"):format(os.time(), name)) end
end

return M
