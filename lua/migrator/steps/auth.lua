---steps.auth { provider = …, service_account = … }: who we are to Google Cloud, proven before anything depends on it;
---gives `auth`. Without a provider: what the environment has.
local duration = require "migrator.lib.duration"
local gcp = require("migrator.lib.lazy").require "migrator.gcp"
local options = require "migrator.steps.options"

local KNOWN = { provider = "string", service_account = "string", audience = "string", id_token = "string",
  credentials = "string", token = "string", metadata = "boolean", delegates = "table", lifetime = "duration",
  scopes = "table", quota_project = "string", endpoints = "table", universe = "string" }

return function(given)
  local opts = options.check("auth", given, KNOWN)
  gcp.check(opts)
  return {
    name = "auth", gives = { "auth" }, options = opts,
    run = function(ctx)
      local function note(text) ctx.emit("note", { message = text }) end
      local asked = { environment = ctx.config.environment, note = note, deadline = ctx.deadline }
      for name, value in pairs(opts) do asked[name] = value end
      local source = gcp.source(asked)
      for _, text in ipairs(source.warnings or {}) do ctx.emit("warning", { message = text }) end
      source:token(ctx.deadline)
      note(("authenticated by %s%s, good for %s"):format(source.description, source.quota_project
        and " (quota project " .. source.quota_project .. ")" or "", source:remaining()
        and duration.format(source:remaining()) or "an unknown time"))
      gcp.use(source)
      ctx:give("auth", source)
    end,
    undo = function() gcp.use(nil) end,
  }
end
