---Every option, once: the command line, MIGRATOR_<OPTION>, migrator.config.lua, --help, completion and the docs come
---from here.
local M = {}

---@class migrator.Option
---@field name string as in migrator.config.lua; --like-this on the command line
---@field kind "flag"|"string"|"duration"|"choice"|"integer"|"list"
---@field default any
---@field help string
---@field commands? string[] only these take it; nil: all that touch a database
---@field choices? string[]
---@field also? string[] what a flag may be besides true and false, in the environment and the file
---@field env? string read besides MIGRATOR_<OPTION>
---@field cli? false not on the command line
---@field file? false not in migrator.config.lua

local DB = { "migrate", "status", "plan", "verify", "gate", "drift", "seed", "reset", "baseline", "repair", "doctor",
  "test", "run" }
local RUN = { "migrate", "reset", "run" }

M.list = {
  { name = "url", kind = "string", env = "DATABASE_URL", metavar = "URL", commands = DB,
    help = "the database, as a URL or key=value words (default: DATABASE_URL)" },
  { name = "dir", kind = "string", metavar = "DIR",
    help = "folder of the migrations (default: the first of migrations, drizzle, "
    .. "src/migrations, src/db/migrations, db/migrations that has a journal)" },
  { name = "config", kind = "string", metavar = "FILE", file = false,
    help = "project file (default: ./migrator.config.lua if it is there)" },
  { name = "env_file", kind = "string", metavar = "FILE", file = false,
    help = "variables to add to the environment (default: ./.env if it is there)" },
  { name = "ephemeral", kind = "flag", default = false, file = false, commands = DB,
    help = "use a throw-away PostgreSQL instead of a database of yours" },
  { name = "schema", kind = "string", default = "drizzle", metavar = "NAME",
    help = "schema of the tracking table (drizzle)" },
  { name = "table", kind = "string", default = "__drizzle_migrations", metavar = "NAME",
    help = "name of the tracking table (__drizzle_migrations)" },
  { name = "lock_timeout", kind = "duration", default = 5, metavar = "TIME", commands = DB,
    help = "how long a statement may wait for a lock (5s)" },
  { name = "lock_first", kind = "flag", default = false, commands = RUN,
    help = "take every lock of a transaction before its first statement, or none" },
  { name = "victims", kind = "duration", default = 0, metavar = "TIME", commands = RUN,
    help = "how long other sessions may wait behind ours before it gives way (0: no limit)" },
  { name = "snapshot_timeout", kind = "duration", default = 600, metavar = "TIME", commands = RUN,
    help = "how long CONCURRENTLY may wait for older transactions (10m; 0: no limit)" },
  { name = "statement_timeout", kind = "duration", default = 0, metavar = "TIME", commands = DB,
    help = "how long a statement may run (0: no limit)" },
  { name = "connect_timeout", kind = "duration", default = 10, metavar = "TIME", commands = DB,
    help = "how long connecting may take (10s)" },
  { name = "wait", kind = "duration", default = 60, metavar = "TIME", commands = RUN,
    help = "how long to wait for another run's lock (60s; 0: not at all)" },
  { name = "deadline", kind = "duration", default = 0, metavar = "TIME", commands = DB,
    help = "how long the whole command may take (0: no limit)" },
  { name = "tries", kind = "integer", default = 3, metavar = "N", commands = RUN,
    help = "how often to try when a lock is not obtained (3)" },
  { name = "tx", kind = "choice", default = "all", choices = { "all", "file", "none" },
    commands = { "migrate", "plan", "reset", "run" },
    help = "one transaction for the run, one for each file, or none (all)" },
  { name = "order", kind = "choice", default = "linear", choices = { "linear", "non-linear" },
    commands = { "migrate", "plan", "status", "reset", "run" },
      help = "refuse or apply what is older than the newest applied (linear)" },
  { name = "edited", kind = "choice", default = "refuse", choices = { "refuse", "allow" },
    commands = { "migrate", "plan", "reset", "run" },
    help = "what to do about files edited after they were applied (refuse)" },
  { name = "missing", kind = "choice", default = "refuse", choices = { "refuse", "allow" },
    commands = { "migrate", "plan", "gate", "reset", "run" },
    help = "what to do about tracking rows that no entry explains (refuse)" },
  { name = "baseline", kind = "choice", default = "refuse", choices = { "refuse", "run" },
    commands = { "migrate", "plan", "reset", "run" },
    help = "what to do about a first file whose tables exist already (refuse)" },
  { name = "deployed", kind = "string", metavar = "WHERE", commands = RUN,
    help = "newest migration that the running code knows: a tag, file:PATH, table:TABLE.COLUMN or an address" },
  { name = "attended", kind = "flag", default = false, commands = RUN,
    help = "refuse where there is neither CI nor a terminal, as when an application starts" },
  { name = "rehearse", kind = "flag", default = false, file = false, commands = { "migrate" },
    help = "run everything that is pending, then roll it back" },
  { name = "restore", kind = "string", metavar = "TEXT", commands = RUN,
    help = "the way back (words, an address), said with the WAL's position when a run fails after changing something" },
  { name = "orphans", kind = "choice", default = "forgotten", choices = { "forgotten", "refuse", "allow" },
    help = "which files without a journal entry to refuse: those that look forgotten, all, none (forgotten)" },
  { name = "repeatable", kind = "string", metavar = "DIR", commands = { "migrate", "status", "reset", "run", "test" },
    help = "folder of SQL scripts that run behind the migrations whenever their text changes (default: none)" },
  { name = "seeds", kind = "string", default = "seeds", metavar = "DIR", commands = { "seed", "reset", "run", "test" },
    help = "folder of the seed tiers (seeds)" },
  { name = "environment_variable", kind = "string", default = "NODE_ENV", metavar = "NAME", cli = false,
    help = "the variable that names the environment; unset or unknown counts as production" },
  { name = "hosts", kind = "list", default = {}, cli = false,
    help = "hosts besides the local ones on which a seed tier may truncate and reset may drop" },
  { name = "reset_target", kind = "string", metavar = "NAME", cli = false, file = false,
    help = "the database that reset --drop may empty in production; only from the environment" },
  { name = "audit", kind = "flag", default = false, also = { "all" },
    commands = { "migrate", "seed", "reset", "baseline", "repair", "run" },
    help = "leave a row of the run in migrator.audit (the variable or the file may say `all`: idle runs too)" },
  { name = "policy", kind = "string", default = "strict", metavar = "NAME", commands = { "verify" },
    help = "what verify looks at: count, set or strict (strict)" },
  { name = "json", kind = "flag", default = false, file = false, help = "one JSON document on standard output" },
  { name = "report", kind = "string", metavar = "FILE", file = false,
    commands = { "migrate", "verify", "gate", "seed", "reset", "run" },
    help = "the document of --json, written to this file whatever becomes of the run" },
  { name = "log", kind = "choice", default = "text", choices = { "text", "json" }, help = "form of the log (text)" },
  { name = "quiet", kind = "flag", default = false, file = false, help = "only errors" },
  { name = "verbose", kind = "flag", default = false, file = false,
    help = "statements, settings and where they come from" },
  { name = "no_color", kind = "flag", default = false, file = false, help = "no colours (also: NO_COLOR)" },
  { name = "unsafe", kind = "flag", default = false, commands = { "run", "seed", "test", "reset" },
    help = "give scripts the whole of io, os and debug" },
}

M.by_name = {}
for _, option in ipairs(M.list) do M.by_name[option.name] = option end

---@param option migrator.Option
---@return string
function M.flag(option) return "--" .. option.name:gsub("_", "-") end

---@param option migrator.Option
function M.variable(option) return "MIGRATOR_" .. option.name:upper() end

---@param option migrator.Option
---@param command string
---@return boolean
function M.applies(option, command)
  if option.cli == false then return false end
  if not option.commands then return true end
  for _, name in ipairs(option.commands) do
    if name == command then return true end
  end
  return false
end

return M
