-- README.md keeps its word: its terminals, its scripts, its tables and its links.
local commands = require "migrator.commands"
local config = require "migrator.config"
local console = require "spec.support.console"
local errors = require "migrator.error"
local fs = require "migrator.core.fs"
local pipeline = require "migrator.pipeline"
local prelude = require "migrator.prelude"
local process = require "migrator.core.process"
local sink = require "migrator.sink"

local PAGES = { "README.md" }
for _, name in ipairs(fs.list "docs") do
  if name:find("%.md$") then PAGES[#PAGES + 1] = "docs/" .. name end
end

-- The sample project with the pipeline that the page shows first.
local function session()
  local page = console.read "README.md"
  local files = {}
  for _, block in ipairs(page) do
    local name = block.info == "lua" and block.lines[1]:match("^%-%- ([%w_]+%.lua)$")
    if name then files[name] = table.concat(block.lines, "\n") .. "\n" end
  end
  local made = console.session { files = files }
  assert(process.run({ cmd = { "cp", "-R", "spec/fixtures/trovella/migrations", "seeds", made.dir } }).code == 0)
  return made
end

local function rows(path, head)
  local out, inside = {}, false
  for line in fs.read(path):gmatch("([^\n]*)\n") do
    if line:find(head, 1, true) == 1 then
      inside = true
    elseif inside and not line:find("^|") then
      inside = false
    elseif inside and not line:find("^|%-") then
      local cells = {}
      for cell in line:gmatch("|%s*([^|]-)%s*%f[|]") do cells[#cells + 1] = cell end
      out[#out + 1] = cells
    end
  end
  return out
end

local function exit_codes()
  local set = { [0] = true, [10] = true, [143] = true }
  for _, code in pairs(errors.EXIT) do set[code] = true end
  return set
end

describe("README.md", function()
  it("shows what happens", function()
    local made, played = session(), 0
    for _, block in ipairs(console.read "README.md") do
      if block.info == "console" then
        made:play(block)
        played = played + 1
      end
    end
    assert.is_true(played > 0)
  end)

  for _, path in ipairs { "README.md", "docs/gcp.md" } do
    it("shows Lua that loads in the sandbox, and pipelines whose chain holds, in " .. path, function()
      local seen = 0
      for _, block in ipairs(console.read(path)) do
        if block.info == "lua" then
          seen = seen + 1
          local settings = config.resolve {}
          local env = prelude.environment(settings, sink.new(settings), {})
          local text = table.concat(block.lines, "\n")
          local made = assert(load(text, ("=%s:%d"):format(path, block.line), "t", env))()
          if pipeline.is(made) then
            for _, step in ipairs(made.steps) do step.run, step.check, step.undo = function() end, nil, nil end
            assert.is_nil(pipeline.run(made, { config = settings, emit = function() end, values = {} }))
          end
        end
      end
      assert.is_true(seen > 0)
    end)
  end

  it("lists the commands with what they say of themselves", function()
    local expected = {}
    for _, command in ipairs(commands.list) do
      if not command.hidden then expected[#expected + 1] = { "`" .. command.name .. "`", command.summary } end
    end
    assert.same(expected, rows("README.md", "| command "))
  end)

  for _, path in ipairs { "README.md", "docs/operations.md" } do
    it("lists every exit code in " .. path, function()
      local found = {}
      for _, row in ipairs(rows(path, "| code ")) do
        for code in row[1]:gmatch("%d+") do found[math.tointeger(tonumber(code))] = true end
      end
      assert.same(exit_codes(), found)
    end)
  end
end)

describe("links of the docs", function()
  for _, path in ipairs(PAGES) do
    it("lead somewhere in " .. path, function()
      local folder = path:match("^(.*/)") or ""
      for target in fs.read(path):gsub("```.-\n```", ""):gsub("`[^`\n]*`", ""):gmatch("%]%(([^)#%s]+)[^)]*%)") do
        if not target:find("^%a+:") then assert.is_truthy(fs.find(folder .. target), path .. ": " .. target) end
      end
    end)
  end
end)
