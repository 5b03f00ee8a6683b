---@meta migrator.ci

---What a CI system wants said in its own way; elsewhere the same calls print plain lines.
---@class migrator.ci
local ci = {}

---@alias migrator.Note string|{message: string, file?: string, line?: integer, col?: integer, title?: string}

---Replaces what the module reads and writes with, for specs.
---@param parts {write?: fun(text: string), getenv?: fun(name: string): string?, time?: fun(): integer}
function ci.use(parts) end

---Says where we run.
---@return "github"|"gitlab"|"none"
function ci.provider() end

---Returns a workflow command of GitHub's, escaped.
---@param name string
---@param properties table<string, string|number>
---@param message string
---@return string
function ci.command(name, properties, message) end

---Annotates an error. Nothing stops.
---```lua
---ci.error { file = "seeds/plans.csv", line = 3, message = "no such plan" }
---```
---@param note migrator.Note
function ci.error(note) end

---Annotates a warning.
---@param note migrator.Note
function ci.warning(note) end

---Annotates a notice.
---@param note migrator.Note
function ci.notice(note) end

---Opens a part of the log that folds.
---@param title string
function ci.group(title) end

---Closes it.
function ci.endgroup() end

---Has the runner hide a value, line by line and in its encoded forms. Only GitHub can; elsewhere nothing is printed. See
---also `mask`.
---@param value string
function ci.mask(value) end

---Gives the job step an output. A secret in it is hidden.
---Raises `config` for an impossible name.
---@param name string
---@param value string|number|boolean
function ci.output(name, value) end

---Adds Markdown to the page of the run.
---Raises `config` when the runner's file cannot be written.
---@param markdown string
function ci.summary(markdown) end

---Returns text of others with nothing in it that GitHub's runner would obey; elsewhere, as it is.
---@param text string
---@return string
function ci.defuse(text) end

---Prints text of others, with the runner's commands switched off around it.
---Raises what the function raises.
---```lua
---ci.foreign(function(write) write(fs.read "proxy.log") end)
---```
---@param print_it fun(write: fun(text: string))
---@param write? fun(text: string) where to, instead of standard output
function ci.foreign(print_it, write) end

return ci
