---@meta migrator.core.process

---Other programs: run to their end, or started and watched. No shell: `cmd` is the program and its arguments.
---A program that was started never outlives us, not even when we are killed with SIGKILL.
---@class migrator.process
local process = {}

---@class migrator.Status
---@field code integer exit code, 128 + the signal's number when a signal ended it
---@field signal? string "TERM", "KILL", …: what ended it

---@class (exact) migrator.SpawnOptions
---@field cmd (string|number)[] the program, looked up in its PATH unless it has a slash, and its arguments
---@field cwd? string its directory
---@field env? table<string, string|number|false>|string[] changes, `false` removes; a list of "NAME=value" replaces
---@field user? string runs it as somebody else; needs root
---@field stdin? "null"|"inherit" default "null"
---@field log? string file that gets its output, created with mode 0600
---@field append? boolean keep what the log holds; default false
---@field foreground? boolean stay in our process group: it may read the terminal, and Ctrl-C is its business
---@field guard? boolean have a guard stop its whole process group when we die
---@field after? string[] a program, by absolute path, that the guard runs when this one is gone, however it ended
---@field stop_signal? string default "TERM"
---@field grace? number seconds between the stop signal and SIGKILL

---@class (exact) migrator.RunOptions: migrator.SpawnOptions
---@field input? string fed to its stdin
---@field stdout? "capture"|"inherit"|"null"|"log" default "capture"
---@field stderr? "capture"|"inherit"|"null"|"log"|"stdout" default "capture"
---@field deadline? number
---@field max_output? integer bytes of each captured stream, default 16 MiB

---@class migrator.Ran: migrator.Status
---@field stdout? string
---@field stderr? string

---Runs a program to its end. A code that is not 0 is an answer, not an error.
---Raises `script` when it cannot be started or says too much, `timeout` at the deadline, `interrupted`; it is
---stopped before.
---```lua
---local ran = process.run { cmd = { "git", "rev-parse", "HEAD" }, deadline = clock.deadline(5) }
---if ran.code == 0 then print(ran.stdout) end
---```
---@param options migrator.RunOptions
---@return migrator.Ran
function process.run(options) end

---Starts a program and returns at once. Without `log` its output is dropped. `guard` is true unless it says false.
---Raises `script` when it cannot be started.
---```lua
---local server <close> = process.start { cmd = { "socat", "TCP-LISTEN:5432", "TCP:db:5432" }, log = "relay.log" }
---```
---@param options migrator.SpawnOptions
---@return migrator.Process
function process.start(options) end

---Returns our own process number.
---@return integer
function process.self() end

---Says who we are.
---@return {name: string, uid: integer, gid: integer}
function process.user() end

---Returns the absolute path of a program in PATH.
---@param program string
---@return string? path nil when there is none
function process.find(program) end

---Whether a process runs, ours or not. One that ended and was not waited for does not.
---@param pid integer
---@return boolean
function process.is_running(pid) end

---A program that was started. It is stopped when the handle is closed or collected.
---@class migrator.Process
local Process = {}

---Returns its process number.
---@return integer
function Process:pid() end

---Whether it runs.
---@return boolean
function Process:alive() end

---How it ended.
---@return migrator.Status? status nil while it runs
function Process:status() end

---Waits for its end.
---Raises `timeout` and `interrupted`; it runs on then.
---@param deadline? number
---@return migrator.Status
function Process:wait(deadline) end

---Waits for its end, until a deadline. Raises `interrupted`.
---@param deadline? number
---@return migrator.Status? status nil when the deadline came first
function Process:try_wait(deadline) end

---Sends a signal to its process group. Nothing happens when it is gone.
---@param signal? string default "TERM"
function Process:kill(signal) end

---Stops it and its process group: stop signal, grace, SIGKILL. Again is harmless.
---Raises `script` when it cannot be stopped.
---@param options? {grace: number?}
---@return migrator.Status
function Process:stop(options) end

---The end of what this run wrote to the log, from a whole line on.
---@param bytes? integer at most that many, default 4096
---@return string? text nil when it has no log
function Process:log_tail(bytes) end

return process, { ["migrator.process"] = Process }
