---steps.report { "text", "github", "json:FILE", "junit:FILE", "gitlab:FILE" }: says what became of the run. Always runs.
local errors = require "migrator.error"
local lazy = require "migrator.lib.lazy"
local file = lazy.require "migrator.sink.file"
local report = lazy.require "migrator.report"

local WRITE = { json = { "migrator.sink.json", "report.json" }, junit = { "migrator.sink.junit", "junit.xml" },
  gitlab = { "migrator.sink.gitlab", "gl-code-quality-report.json" } }

local function refuse(message)
  errors.raise("script", { message = "steps.report: " .. message, step = "report",
    hint = "text, github, json:FILE, junit:FILE, gitlab:FILE" })
end

local function take(name)
  local kind, colon, path = tostring(name):match("^(%a+)(:?)(.*)$")
  if kind == "terminal" then kind = "text" end
  if colon == "" and path == "" then
    if kind == "text" then return { print = require "migrator.sink.summary" } end
    local github = kind == "github" and require "migrator.sink.github"
    if github then return { print = github.print, finish = github.print_outputs } end
  end
  if not WRITE[kind or ""] or colon == "" and path ~= "" then
    refuse(("no report called %q"):format(tostring(name)))
  end
  local module, default = table.unpack(WRITE[kind])
  return { print = require(module).write, path = path ~= "" and path or default }
end

---One that fails does not keep the others from being written. What a deploy decides by comes last: the run has failed
---when any of them has.
local function print_all(ctx, wanted)
  local run, first = report.run(ctx), nil
  local function try(print, path)
    local ok, err = pcall(print, ctx, path, run)
    if ok then return end
    first = first or err
    ctx.error = ctx.error or errors.wrap(err, "script")
    if errors.is(err, "interrupted") then error(err, 0) end
  end
  for _, item in ipairs(wanted) do try(item.print, item.path) end
  for _, item in ipairs(wanted) do
    if item.finish then try(item.finish) end
  end
  if first then error(first, 0) end
end

return function(given)
  if given ~= nil and type(given) ~= "table" then refuse("takes a list of reports") end
  local wanted, paths = {}, {}
  for i, name in ipairs(given or { "text" }) do
    wanted[i] = take(name)
    local path = wanted[i].path
    if path and paths[path] then refuse(("two reports would be written to %s"):format(path)) end
    if path then paths[path] = true end
  end
  return {
    name = "report", always = true,
    check = function()
      for _, item in ipairs(wanted) do
        if item.path then file.check(item.path, "steps.report") end
      end
    end,
    run = function(ctx) print_all(ctx, wanted) end,
  }
end
