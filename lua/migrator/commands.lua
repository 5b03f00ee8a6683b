---The commands: what each takes besides the common options, and the module that does it.
local M = {}

---@class migrator.Command
---@field name string
---@field summary string
---@field arguments? { name: string, help: string, args?: string }[]
---@field options? migrator.Option[]
---@field hidden? boolean

local CONFIRM = { name = "confirm", kind = "string", metavar = "PHRASE",
  help = "the phrase that the question would ask for" }

M.list = {
  { name = "run", summary = "run a pipeline, or any script; `migrator FILE.lua` is the same", hidden = false },
  { name = "migrate", summary = "apply what is pending, and check that it was" },
  { name = "status", summary = "show what is applied, pending, edited, stranded, missing", options = {
    { name = "check", kind = "flag", help = "exit 10 when something is pending" },
    { name = "all", kind = "flag", help = "list the applied ones too" },
    { name = "history", kind = "string", metavar = "N",
      help = "instead: the newest N rows of the audit trail" } } },
  { name = "plan", summary = "show what migrate would do, statement by statement", options = {
    { name = "sql", kind = "flag", help = "print one script for psql instead" },
    { name = "check", kind = "flag", help = "exit 10 when something is pending" } } },
  { name = "verify", summary = "the independent check: another reader, another connection" },
  { name = "gate", summary = "exit 0 only if the database has what this checkout's code needs", options = {
    { name = "require", kind = "string", metavar = "TAG",
      help = "it and all before it must be applied (default: the newest)" } } },
  { name = "drift", summary = "compare the live schema with what the journal implies", options = {
    { name = "against", kind = "string", metavar = "FILE",
      help = "compare with a snapshot instead of running the migrations on a throw-away server" },
    { name = "snapshot", kind = "string", metavar = "FILE",
      help = "write what the whole journal implies, and look at no database" },
    { name = "ignore", kind = "string", metavar = "PATTERNS",
      help = "leave out what fits, with * and ?, separated by commas: audit.*,public.tmp_*" },
    { name = "grants", kind = "flag", help = "owners and grants too" },
    { name = "comments", kind = "flag", help = "comments too" } } },
  { name = "seed", summary = "run the seed tiers that the environment allows", arguments = {
    { name = "tier", help = "only these tiers", args = "*" } }, options = {
    { name = "preset", kind = "string", metavar = "NAME", help = "the tiers of a preset of seeds/presets.lua" },
    { name = "prove", kind = "flag", help = "run each idempotent tier twice in a throw-away database and compare" },
    { name = "list", kind = "flag", help = "list the tiers and whether they would run" } } },
  { name = "reset", summary = "migrate and seed; with --drop: drop everything first", options = {
    { name = "drop", kind = "flag", help = "drop the schemas and the tracking table first" }, CONFIRM,
    { name = "seed", kind = "string", metavar = "WHAT",
      help = "a preset, or names of tiers with commas between them (default: all that the environment allows)" } } },
  { name = "new", summary = "make a hand-written migration: file and journal entry", arguments = {
    { name = "name", help = "words for its tag" } } },
  { name = "baseline", summary = "mark migrations as applied without running them", arguments = {
    { name = "tag", help = "up to and with this one, or `all`", args = "?" } }, options = {
    { name = "environment", kind = "string", metavar = "NAME",
      help = "mark the database itself: it is production, staging, development or test" }, CONFIRM } },
  { name = "repair", summary = "rewrite tracking rows on purpose", options = {
    { name = "accept", kind = "string", metavar = "TAG", help = "record the edited file's hash" },
    { name = "restamp", kind = "string", metavar = "TAG",
      help = "give a stranded entry a `when` at the end of the journal" },
    { name = "forget", kind = "string", metavar = "ID", help = "remove the tracking row with this id" }, CONFIRM } },
  { name = "doctor", summary = "look at connection, privileges, extensions, pooler and journal" },
  { name = "ephemeral", summary = "start a throw-away PostgreSQL; `-- CMD` runs CMD with DATABASE_URL and stops it",
    options = {
    { name = "port", kind = "flag", help = "listen on a free port of 127.0.0.1 too" },
    { name = "migrated", kind = "flag", help = "apply the migrations first" } } },
  { name = "test", summary = "run Busted specs against a migrated throw-away database", arguments = {
    { name = "spec", help = "spec files or folders (default: spec)", args = "*" } }, options = {
    { name = "filter", kind = "string", metavar = "PATTERN", help = "only tests whose name matches" },
    { name = "crash_matrix", kind = "flag",
      help = "instead of specs: disturb the run at every boundary, run again, compare" },
    { name = "after", kind = "string", metavar = "TAG",
      help = "crash matrix: apply everything up to and with this one undisturbed" },
    { name = "points", kind = "string", metavar = "N",
      help = "crash matrix: at most so many points (400; 0: all)" } } },
  { name = "spec", summary = "run the program's own specs", hidden = true, arguments = {
    { name = "spec", help = "spec files or folders (default: spec)", args = "*" } }, options = {
    { name = "filter", kind = "string", metavar = "PATTERN", help = "only tests whose name matches" },
    { name = "jobs", kind = "string", metavar = "N", help = "so many files at once, each in a process of its own" } } },
  { name = "dev", summary = "run a Lua file of the checkout with the core modules in sight", hidden = true,
    arguments = {
    { name = "file", help = "the file" }, { name = "words", help = "its arguments", args = "*" } } },
  { name = "crash", summary = "one run of the crash matrix", hidden = true, arguments = {
    { name = "job", help = "a file that says what to do" } } },
  { name = "init", summary = "scaffold a project: pipeline, folders, seeds, config, CI workflow", arguments = {
    { name = "folder", help = "where (default: here)", args = "?" } } },
  { name = "types", summary = "write editor stubs for the Lua API", arguments = {
    { name = "folder", help = "where (default: .migrator/types)", args = "?" } } },
  { name = "completion", summary = "print a shell's completion script", arguments = {
    { name = "shell", help = "bash, zsh or fish" } } },
  { name = "help", summary = "show help for a command",
    arguments = { { name = "topic", help = "a command", args = "?" } } },
}

M.by_name = {}
for _, command in ipairs(M.list) do M.by_name[command.name] = command end

return M
