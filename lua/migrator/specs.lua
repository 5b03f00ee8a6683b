---Busted inside this process: finding it, running spec files, counting, and telling.
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local host = require "migrator.core.host"

local M = {}

---@class migrator.SpecOptions
---@field paths string[] files and folders; `*_spec.lua` is taken from folders
---@field filter? string a pattern that the full name of a test must match
---@field watch? { before: fun(): any, after: fun(before: any): string? } around each test; what `after` answers is a failure
---@field file_done? fun() after each file
---@field sink migrator.Sink

local function load_busted()
  local ok, core = pcall(require, "busted.core")
  if ok then return core() end
  if errors.is(core) then error(core, 0) end
  errors.raise("config", { message = "Busted is not installed for Lua 5.4", hint = "apt-get install lua-busted",
    detail = core:match("^[^\n]*not found[^\n]*") and nil or core })
end

-- The executor of a test runs its before_each and after_each as well: what is left when it returns was left by the
-- test.
local function watch_tests(busted, opts, report)
  local register = busted.register
  busted.register = function(descriptor, executor, attributes)
    if descriptor == "it" and type(executor) == "function" and opts.watch then
      local inner = executor
      executor = function(element)
        local before = opts.watch.before()
        inner(element)
        local problem = opts.watch.after(before)
        if problem then report(element, "leak", problem, element.trace) end
      end
    end
    return register(descriptor, executor, attributes)
  end
end

local function full_name(busted, element)
  local names, at = {}, element
  while at and at.descriptor ~= "file" and at.descriptor ~= "suite" do
    table.insert(names, 1, at.name or at.descriptor)
    at = busted.context.parent(at)
  end
  return table.concat(names, " ")
end

local function place(trace, element, message)
  local at = trace and trace.currentline and trace or element.trace
  if not at or not at.short_src then return element.name end
  if at.short_src:find("lib[./]blame") then -- where it was raised again; the text has the spec's line
    local file, line = tostring(message):match("^([^\n:]+):(%d+):")
    if file then return file, math.tointeger(line) end
  end
  return at.short_src, at.currentline
end

local Tally = {}
Tally.__index = Tally

-- A test has one outcome: a failure outweighs a success that was reported before it.
function Tally:set(element, outcome)
  if self.outcome[element] == "failed" then return end
  self.outcome[element] = outcome
end

function Tally:fail(busted, element, kind, message, trace)
  self:set(element, "failed")
  local file, line = place(trace, element, message)
  self.failures[#self.failures + 1] = { name = full_name(busted, element), file = file, line = line, kind = kind,
    message = type(message) == "string" and message or tostring(message) }
  if host.signal() then busted.skipAll = true end
end

function Tally:counts()
  local out = { passed = 0, failed = 0, skipped = 0 }
  for _, outcome in pairs(self.outcome) do out[outcome] = out[outcome] + 1 end
  return out
end

local function subscribe(busted, tally, opts)
  local files = {}
  busted.subscribe({ "test", "start" }, function(element)
    opts.sink:progress(full_name(busted, element))
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(element, _, status)
    tally:set(element, status == "success" and "passed" or status == "pending" and "skipped" or "failed")
    return nil, true
  end)
  busted.subscribe({ "pending" }, function(element, _, message)
    tally.skips[#tally.skips + 1] = { name = full_name(busted, element),
      message = type(message) == "string" and message:gsub("^[^\n]-:%d+: ", "") or nil }
    return nil, true
  end)
  for _, kind in ipairs { "failure", "error" } do
    busted.subscribe({ kind }, function(element, _, message, trace)
      tally:fail(busted, element, kind, message, trace)
      return nil, true
    end)
  end
  busted.subscribe({ "file", "start" }, function(element)
    files[element] = { counts = tally:counts(), failures = #tally.failures }
    return nil, true
  end)
  busted.subscribe({ "file", "end" }, function(element)
    if opts.file_done then opts.file_done() end
    local now, before = tally:counts(), files[element].counts
    local failed = #tally.failures > files[element].failures
    opts.sink:line(("%s %s  %d passed%s%s  %.2f s"):format(failed and opts.sink:paint("stdout", "red", "FAIL")
      or opts.sink:paint("stdout", "green", "ok  "), element.name, now.passed - before.passed,
      now.failed > before.failed and (", %d failed"):format(now.failed - before.failed) or "",
      now.skipped > before.skipped and (", %d skipped"):format(now.skipped - before.skipped) or "", element.duration
        or 0))
    return nil, true
  end)
end

local function check_paths(paths)
  for _, path in ipairs(paths) do
    if not fs.find(path) then errors.raise("usage", { message = "no such spec file or folder: " .. path }) end
  end
end

local function print_failures(sink, tally)
  for _, failure in ipairs(tally.failures) do
    sink:line("")
    sink:line(("%s %s%s: %s"):format(sink:paint("stdout", "red", "FAILED"), failure.file or "?",
      failure.line and ":" .. failure.line or "", failure.name))
    for line in (failure.message .. "\n"):gmatch("(.-)\n") do sink:line("  " .. line) end
  end
  for _, skip in ipairs(tally.skips) do
    sink:line(("skipped: %s%s"):format(skip.name, skip.message and " (" .. skip.message .. ")" or ""))
  end
end

---Runs the files and prints the outcome, its last line being `N passed, N failed, N skipped`.
---@param opts migrator.SpecOptions
---@return integer exit code
function M.run(opts)
  check_paths(opts.paths)
  local busted = load_busted()
  local tally = setmetatable({ outcome = {}, failures = {}, skips = {} }, Tally)
  watch_tests(busted, opts, function(...) tally:fail(busted, ...) end)
  require "busted"(busted)
  subscribe(busted, tally, opts)
  require "busted.modules.filter_loader"()(busted, { tags = {}, excludeTags = {}, filterOut = {},
    filter = { opts.filter }, nokeepgoing = true })
  local loader = require "busted.modules.test_file_loader"(busted, { "lua" })
  loader(opts.paths, { "_spec%.lua$" }, { excludes = {}, recursive = true })
  require "busted.execute"(busted)(1, { sort = false })
  busted.publish { "exit" }
  opts.sink:clear_progress()
  if host.signal() then errors.raise("interrupted", { message = "interrupted by a signal", signal = host.signal() }) end
  local counts = tally:counts()
  if opts.filter and not next(tally.outcome) then
    errors.raise("usage", { message = "no test matches " .. opts.filter })
  end
  print_failures(opts.sink, tally)
  opts.sink:line(("%d passed, %d failed, %d skipped"):format(counts.passed, counts.failed, counts.skipped))
  counts.failures = require("migrator.sink").array(tally.failures)
  opts.sink:document(counts)
  return (counts.failed > 0 or #tally.failures > 0) and 1 or 0
end

return M
