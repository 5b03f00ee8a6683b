---Runs what a page of the docs shows. A block ```console holds `$ command` lines (`> ` continues one) and what they
---print; `…` in a line stands for anything, alone on its line for any lines. A block whose info string names a file
---behind the language, such as
---```lua pipeline.lua, is that file. A command that fails must be followed by `$ echo $?`: a page never hides an exit
---code.
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"
local pg = require "spec.support.pg"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"

local M = {}

local SECONDS = 120
local ANYTHING = "…"

---@class migrator.DocBlock
---@field info string behind the fence
---@field lines string[]
---@field line integer of the fence
---@field section string the `##` heading above it

---@param path string
---@return migrator.DocBlock[]
function M.read(path)
  local blocks, block, section, number = {}, nil, "", 0
  for line in fs.read(path):gmatch("([^\n]*)\n") do
    number = number + 1
    local info = line:match("^```(.*)$")
    if info and block then
      block = nil
    elseif info then
      block = { info = info, lines = {}, line = number, section = section, path = path }
      blocks[#blocks + 1] = block
    elseif block then
      block.lines[#block.lines + 1] = line
    else
      section = line:match("^## (.*)$") or section
    end
  end
  return blocks
end

---The commands of a console block, each with the lines it should print.
function M.commands(block)
  local out = {}
  for i, line in ipairs(block.lines) do
    local text = line:match("^%$ (.*)$")
    local more = line:match("^> ?(.*)$")
    if text then
      out[#out + 1] = { text = text, expected = {}, line = block.line + i }
    elseif more and #out[#out].expected == 0 then
      out[#out].text = out[#out].text .. "\n" .. more
    else
      table.insert(out[#out].expected, (line:gsub("%s+$", "")))
    end
  end
  return out
end

local function line_matches(expected, actual)
  if expected == actual then return true end
  if not expected:find(ANYTHING, 1, true) then return false end
  return actual:find("^" .. expected:gsub("%p", "%%%0"):gsub(ANYTHING, ".-") .. "$") ~= nil
end

---@param expected string[]
---@param actual string[]
function M.matches(expected, actual, i, j)
  i, j = i or 1, j or 1
  if i > #expected then return j > #actual end
  if expected[i] == ANYTHING then
    for at = j, #actual + 1 do
      if M.matches(expected, actual, i + 1, at) then return true end
    end
    return false
  end
  return j <= #actual and line_matches(expected[i], actual[j]) and M.matches(expected, actual, i + 1, j + 1)
end

local Session = {}
Session.__index = Session

---A shell with a folder and an empty database of its own, in which `migrator` is the program under test.
---@param options? { files?: table<string, string>, env?: table<string, string>, cwd?: string }
function M.session(options)
  options = options or {}
  local dir, bin, home = tmp.dir(options.files), tmp.dir {}, tmp.dir {}
  local url = pg.database("docs")
  assert(process.run({ cmd = { "ln", "-s", cli.program(), bin .. "/migrator" } }).code == 0)
  local path = table.concat({ bin, pg.program("psql"):match("^(.*)/"), host.environment().PATH }, ":")
  local env = cli.environment { PATH = path, HOME = home, DATABASE_URL = url, LC_ALL = "C.UTF-8", PSQLRC = "/dev/null",
    GIT_AUTHOR_NAME = "a", GIT_AUTHOR_EMAIL = "a@example.org", GIT_COMMITTER_NAME = "a",
      GIT_COMMITTER_EMAIL = "a@example.org" }
  for name, value in pairs(options.env or {}) do env[name] = value end
  return setmetatable({ dir = dir, url = url, env = env, state = tmp.dir {} .. "/state", cwd = options.cwd or dir },
    Session)
end

local function script(session, commands)
  local out = { "exec 2>&1 </dev/null; cd " .. session.cwd, "[ ! -f $STATE ] || . $STATE", "__st=0" }
  for i, command in ipairs(commands) do
    out[#out + 1] = ("printf '\\036%d %%d\\n' $__st\n(exit $__st)\n%s\n__st=$?"):format(i - 1, command.text)
  end
  out[#out + 1] = ("printf '\\036%d %%d\\n' $__st; "):format(#commands)
    .. "{ export -p; echo cd $(printf %q \"$PWD\"); } >$STATE"
  return table.concat(out, "\n")
end

---Runs the commands in one shell; sets `actual` (lines) and `code` of each.
function Session:run(commands)
  self.env.STATE = self.state
  local ran = process.run { cmd = { "bash", "-c", script(self, commands) }, env = self.env,
    deadline = clock.deadline(SECONDS) }
  local last
  for line in ran.stdout:gmatch("([^\n]*)\n") do
    local before, number, code = line:match("^(.-)\30(%d+) (%d+)$")
    if number then
      if last and before ~= "" then table.insert(last.actual, before) end
      if last then last.code = tonumber(code) end
      last = commands[tonumber(number) + 1]
      if last then last.actual = {} end
    elseif last then
      table.insert(last.actual, (line:gsub("%s+$", "")))
    end
  end
end

local function describe(block, command)
  return ("%s:%d: $ %s\n--- the page says\n%s\n--- it printed (exit %s)\n%s"):format(block.path, command.line,
    command.text,
    table.concat(command.expected, "\n"), tostring(command.code), table.concat(command.actual or {}, "\n"))
end

---@param block migrator.DocBlock
---@return string|nil problem
function Session:check(block)
  local commands = M.commands(block)
  self:run(commands)
  for i, command in ipairs(commands) do
    if not command.actual or not M.matches(command.expected, command.actual) then return describe(block, command) end
    local next_one = commands[i + 1]
    if command.code ~= 0 and not (next_one and next_one.text == "echo $?") then
      return describe(block, command) .. "\n(it failed, and no `$ echo $?` follows)"
    end
  end
end

---Does what a block says: writes its file, runs its commands. Other blocks are only read.
---@param block migrator.DocBlock
function Session:play(block)
  local file = block.info:match("^%a+ (%S+)$")
  if file then
    tmp.write(self.dir .. "/" .. file, table.concat(block.lines, "\n") .. "\n")
  elseif block.info == "console" then
    local problem = self:check(block)
    if problem then error(problem, 0) end
  end
end

---A page's `##` sections that have blocks, each with the function that plays them, in order.
---@param path string
---@param options? { fresh?: boolean, session?: fun(section: string): table } fresh: a new folder and database for each
---  section, in which the blocks before the first heading are played first
---@return { name: string, play: fun() }[]
function M.sections(path, options)
  options = options or {}
  local out, by_name, session = {}, {}, nil
  for _, block in ipairs(M.read(path)) do
    local section = by_name[block.section]
    if not section then
      section = { name = block.section, blocks = {} }
      out[#out + 1], by_name[block.section] = section, section
      function section.play()
        if not session or options.fresh then
          session = M.session(options.session and options.session(section.name))
          for _, item in ipairs(section.name ~= "" and by_name[""] and by_name[""].blocks or {}) do
            session:play(item)
          end
        end
        for _, item in ipairs(section.blocks) do session:play(item) end
      end
    end
    table.insert(section.blocks, block)
  end
  return out
end

return M
