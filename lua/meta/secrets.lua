---@meta migrator.secrets

---Secrets: fetched from where they are kept, and hidden in everything that is printed.
---@class migrator.secrets
local secrets = {}

---@class migrator.SecretContext
---@field environment table<string, string>
---@field deadline? number
---@field note fun(text: string) a line for people
---@field given table<string, any> what the caller gave beside the reference

---Fetches a secret: env:NAME, file:PATH, cmd:PROGRAM ARG …, sm://PROJECT/NAME[/VERSION], vault://MOUNT/PATH#FIELD, or a
---scheme of your own. A line end behind it is taken off. It is hidden from then on in all that is printed: as it is, each
---of its lines, and as URLs, JSON, Base64, SQL and Markdown write it. One of four or five characters is hidden where it is
---a word of its own; a shorter one cannot be, and that is said. A program of `cmd:` does not get to see DATABASE_URL,
---PGPASSWORD or another variable that holds the URL of a database with its password.
---Raises `script` for a reference that is none, `config` when it cannot be read or is blank, `http`, `timeout`.
---```lua
---local dsn, version = secrets.get "sm://acme-prod/DATABASE_URL"
---```
---@param reference string
---@param given? table<string, any> for the scheme; `auth` is a source of `gcp.source`
---@return string text
---@return string? version where the scheme knows versions
function secrets.get(reference, given) end

---Adds a scheme, for `secrets.get` and `steps.secret`. What it returns is hidden; the second value names the version.
---```lua
---secrets.scheme("pass", function(rest, ctx)
---  return process.run({ cmd = { "pass", "show", rest }, deadline = ctx.deadline }).stdout
---end)
---```
---@param name string
---@param fetch fun(rest: string, ctx: migrator.SecretContext): string, string?
function secrets.scheme(name, fetch) end

return secrets
