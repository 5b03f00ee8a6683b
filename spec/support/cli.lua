---The program itself, as a user starts it: a fresh process, whose environment holds nothing of ours that it would read.
local clock = require "migrator.core.clock"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"

local M = {}

---The program under test: MIGRATOR, or the one that runs these specs.
function M.program()
  local asked = host.environment().MIGRATOR
  return asked and fs.absolute(asked) or host.program()
end

local DROP = { "^DATABASE_URL$", "^PG", "^MIGRATOR", "^GITHUB_", "^GITLAB_", "^ACTIONS_", "^GOOGLE_", "^CLOUDSDK_",
  "^CI$", "^NO_COLOR$", "^NODE_ENV$", "^XDG_CONFIG" }
local KEEP = { MIGRATOR_LUA_PATH = true, PG_BINDIR = true }

local function environment(changes)
  local out = {}
  for name in pairs(host.environment()) do
    for _, pattern in ipairs(DROP) do
      if name:find(pattern) and not KEEP[name] then out[name] = false end
    end
  end
  if host.environment().MIGRATOR_LUA_PATH then
    out.MIGRATOR_LUA_PATH = fs.absolute(host.environment().MIGRATOR_LUA_PATH)
  end
  for name, value in pairs(changes or {}) do out[name] = value end
  return out
end

---The environment of such a process: variables by name, false for one that it must not see.
M.environment = environment

---What a run wrote to standard error, less its first line: where it is.
---@param ran { stderr: string }
---@return string
function M.said(ran) return (ran.stderr:gsub("^info: database [^\n]*\n", "")) end

---A copy of the program that every user of this machine may run, wherever the checkout is.
function M.program_for_all()
  local dir = tmp.dir {}
  process.run { cmd = { "cp", M.program(), dir .. "/migrator" } }
  process.run { cmd = { "chmod", "-R", "a+rx", dir } }
  return dir .. "/migrator"
end

local function command(options)
  local cmd = { options.user and M.program_for_all() or M.program() }
  for _, word in ipairs(options) do cmd[#cmd + 1] = word end
  return cmd
end

---Runs it to its end: `cli.run { "status", "--json", env = { DATABASE_URL = url }, cwd = dir, stdin = "yes\n" }`.
---@param options { env?: table, stdin?: string, cwd?: string, seconds?: number, user?: string }
---@return { code: integer, stdout: string, stderr: string, signal?: string }
function M.run(options)
  return process.run { cmd = command(options), env = environment(options.env), cwd = options.cwd, input = options.stdin,
    user = options.user, deadline = clock.deadline(options.seconds or 60) }
end

---Starts it and returns its handle; both its outputs go to `log`.
---@param options { env?: table, cwd?: string, log: string }
---@return migrator.Process
function M.start(options)
  return process.start { cmd = command(options), env = environment(options.env), cwd = options.cwd, log = options.log }
end

return M
