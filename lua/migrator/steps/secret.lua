---steps.secret { name = "DATABASE_URL", from = "sm://PROJECT/NAME" }: a secret, hidden from then on in everything that
---is printed. One called DATABASE_URL gives the `dsn`. The schemes of `from` are those of `secrets`.
local errors = require "migrator.error"
local options = require "migrator.steps.options"
local secrets = require "migrator.secrets"
local url = require "migrator.lib.url"

local KNOWN = { name = "string!", from = "string!" }
local LONGEST = 9000 -- bytes: PostgreSQL takes a startup packet of 10,000; the password is not in it

-- A URL is one line: what else is in it was pasted along, and would become part of a name or of the last parameter.
local function check_url(name, value)
  if value:find("^%s") or value:find("%s$") or value:find("%c") then
    errors.raise("config", { message = name .. " has blanks around it or control characters in it",
      hint = "store it again, as one line without quotes: printf %s \"$URL\" | …" })
  end
  local ok, words = pcall(url.conninfo, value)
  if not ok then
    if errors.is(words) then words.message = name .. ": " .. words.message end
    error(words, 0)
  end
  local size = 0
  for _, word in ipairs { "user", "dbname", "options", "application_name" } do size = size + #(words[word] or "") end
  if size > LONGEST then
    errors.raise("config", { message = ("%s says %d bytes to the server, more than it takes"):format(name, size),
      hint = "is it the secret that was meant?" })
  end
end

return function(given)
  local opts = options.check("secret", given, KNOWN)
  local scheme, why, hint = secrets.parse(opts.from)
  if not scheme then
    errors.raise("script", { message = "steps.secret: from: " .. why, step = "secret", hint = hint })
  end
  return {
    name = "secret", gives = opts.name == "DATABASE_URL" and { "dsn", opts.name } or { opts.name }, options = opts,
    run = function(ctx)
      local function note(text) ctx.emit("note", { message = opts.name .. ": " .. text }) end
      local function read()
        local value, info = secrets.get(opts.from, { environment = ctx.config.environment, deadline = ctx.deadline,
          note = note, given = { auth = ctx:find("auth") } })
        if opts.name == "DATABASE_URL" then check_url(opts.name, value) end
        return value, info
      end
      local value, info = read()
      if info.version then note(("version %s of %s"):format(info.version, info.from)) end
      ctx.results.secrets = ctx.results.secrets or {}
      table.insert(ctx.results.secrets, { name = opts.name, from = info.from, version = info.version })
      ctx:give(opts.name, value)
      if opts.name == "DATABASE_URL" then
        ctx:give("dsn", value)
        ctx.reread = read
      end
    end,
  }
end
