---@meta migrator.changes

---What changed in the repository.
---@class migrator.git
local git = {}

---@class (exact) migrator.ChangedOptions
---@field paths string[] patterns: `**`, `*`, `?`, `{a,b}`, `!` before one that is left out
---@field base? string commit; without it the CI event says which
---@field head? string commit, HEAD
---@field cwd? string
---@field event? string name of the CI event, in place of the one that the environment tells
---@field fetch? boolean fetch a commit that is not in the clone
---@field allow_unmatched? boolean a pattern may match no file at all
---@field getenv? fun(name: string): string?

---@class migrator.Changed
---@field changed boolean
---@field files string[] those that match
---@field reason string
---@field base? string
---@field head? string
---@field is_open? boolean git could not say, so the answer is "changed"

---Tells whether files that match changed between two commits. When git cannot say, the answer is "changed".
---Raises `config` for a pattern that matches no file of the repository.
---```lua
---local found = git.changed { paths = { "migrations/**", "!**/*.md" } }
---log.info(found.reason)
---```
---@param options migrator.ChangedOptions
---@return migrator.Changed
function git.changed(options) end

return git
