local cjson = require "cjson"
local cli = require "spec.support.cli"
local fs = require "migrator.core.fs"
local scaffold = require "migrator.lib.scaffold"
local tmp = require "spec.support.tmp"

local MADE = { ".env.example", ".github/workflows/migrate.yml", ".luarc.json", "migrations/meta/_journal.json",
  "migrator.config.lua", "pipeline.lua", "seeds/reference/10_example.sql", "seeds/reference/tier.lua" }
local JOURNAL = '{"version":"7","dialect":"postgresql","entries":[]}'

local function project(dir)
  return setmetatable({}, { __index = load(fs.read(dir .. "/migrator.config.lua"), "=config", "t", { env = {} })() })
end

describe("migrator init", function()
  it("makes a whole project, and says what to do next", function()
    local dir = tmp.dir()
    local ran = cli.run { "init", cwd = dir }
    assert.equal(0, ran.code)
    for _, path in ipairs(MADE) do
      assert.equal("file", (fs.find(dir .. "/" .. path) or {}).type, path)
      assert.truthy(ran.stdout:find("made  " .. path, 1, true), path)
    end
    assert.truthy(ran.stdout:find("Next:\n", 1, true))
    assert.truthy(fs.find(dir .. "/.migrator/types/globals.lua"))
  end)

  it("makes a folder that it is given", function()
    local dir = tmp.dir()
    local ran = cli.run { "init", "a/b/", cwd = dir }
    assert.equal("file", (fs.find(dir .. "/a/b/pipeline.lua") or {}).type)
    assert.truthy(ran.stdout:find("  cd a/b\n", 1, true))
  end)

  it("makes a project whose pipeline runs as it is", function()
    local dir = tmp.dir()
    cli.run { "init", cwd = dir }
    local ran = cli.run { "--ephemeral", "pipeline.lua", cwd = dir, env = { MIGRATOR_WAIT = "1s" } }
    assert.truthy(ran.stdout:find("Migrations complete. Applied 0 new migration(s).", 1, true), ran.stderr)
    assert.equal(0, ran.code, ran.stderr)
  end)

  it("makes a journal that Drizzle and we read as an empty one", function()
    local dir = tmp.dir()
    cli.run { "init", cwd = dir }
    local journal = cjson.decode(fs.read(dir .. "/migrations/meta/_journal.json"))
    assert.same({ version = "7", dialect = "postgresql", entries = {} }, journal)
  end)

  it("shows every setting of the project file, with its default, as a comment", function()
    local dir = tmp.dir()
    cli.run { "init", cwd = dir }
    local text = fs.read(dir .. "/migrator.config.lua")
    for _, option in ipairs(require("migrator.options").list) do
      local shown = text:find("\n  -- " .. option.name .. " = ", 1, true) ~= nil
      assert.equal(option.file ~= false, shown, option.name)
    end
    assert.equal(0, cli.run({ "help", cwd = dir }).code)
  end)

  it("makes a project file that stays valid when every comment is taken away", function()
    local dir = tmp.dir()
    cli.run { "init", cwd = dir }
    local text = fs.read(dir .. "/migrator.config.lua"):gsub("\n  %-%- ([%w_]+ = )", "\n  %1")
    fs.write(dir .. "/migrator.config.lua", text)
    local ran = cli.run { "status", "--ephemeral", cwd = dir }
    assert.same({ 0, "" }, { ran.code, ran.stderr })
  end)

  it("overwrites nothing, and lists what it kept", function()
    local files = { ["pipeline.lua"] = "-- mine\n", ["seeds/reference/tier.lua"] = "return {}\n",
      [".env.example"] = "A=1\n",
      ["migrations/meta/_journal.json"] = JOURNAL, [".luarc.json"] = "// mine\n{}\n" }
    local dir = tmp.dir(files)
    local ran = cli.run { "init", cwd = dir }
    assert.equal(0, ran.code, ran.stderr)
    for path, text in pairs(files) do
      assert.equal(text, fs.read(dir .. "/" .. path))
      assert.truthy(ran.stdout:find("kept  " .. path, 1, true), path)
    end
    assert.is_nil(fs.find(dir .. "/seeds/reference/10_example.sql"))
  end)

  it("makes nothing anew when it runs again", function()
    local dir = tmp.dir()
    cli.run { "init", cwd = dir }
    local ran = cli.run { "init", "--json", cwd = dir }
    local document = cjson.decode(ran.stdout)
    assert.same({ { ".migrator/types/" }, 8 }, { document.made, #document.kept })
  end)

  it("takes folder, schema and table from a Drizzle configuration", function()
    local dir = tmp.dir { ["drizzle.config.ts"] = [[
import { defineConfig } from "drizzle-kit";
export default defineConfig({
  dialect: "postgresql", // out: "./wrong",
  schema: "./src/db/schema.ts",
  out: './src/db/drizzle/',
  migrations: { table: "my_migrations", schema: `ops` },
});
]], ["src/db/drizzle/meta/_journal.json"] = JOURNAL }
    local ran = cli.run { "init", cwd = dir }
    local found = project(dir)
    assert.same({ "src/db/drizzle", "ops", "my_migrations" }, { found.dir, found.schema, found.table })
    assert.truthy(fs.read(dir .. "/pipeline.lua"):find('"MIGRATOR_DIR", "src/db/drizzle"', 1, true))
    assert.truthy(ran.stdout:find("src/db/drizzle (drizzle.config.ts), tracked in ops.my_migrations", 1, true))
    assert.is_nil(fs.find(dir .. "/migrations"))
  end)

  it("takes a folder that has a journal, wherever it is", function()
    local dir = tmp.dir { ["packages/db/sql/meta/_journal.json"] = JOURNAL,
      ["node_modules/x/meta/_journal.json"] = JOURNAL }
    cli.run { "init", cwd = dir }
    assert.equal("packages/db/sql", project(dir).dir)
  end)

  it("says that it could not read what a configuration computes", function()
    local dir = tmp.dir { ["drizzle.config.js"] = "export default { dialect: 'postgresql', out: process.env.OUT }\n" }
    assert.truthy(cli.run({ "init", cwd = dir }).stderr:find("drizzle.config.js computes out", 1, true))
  end)

  it("refuses a project of another database, and makes nothing", function()
    local dir = tmp.dir { ["drizzle.config.ts"] = 'export default { dialect: "mysql", out: "./drizzle" }\n' }
    assert.equal(2, cli.run({ "init", cwd = dir }).code)
    assert.same({ "drizzle.config.ts" }, fs.list(dir))
  end)

  it("refuses a file where a folder should be", function()
    assert.equal(2, cli.run({ "init", "x", cwd = tmp.dir { x = "" } }).code)
  end)

  it("makes a workflow that waits for its turn instead of cancelling a run", function()
    local dir = tmp.dir()
    cli.run { "init", cwd = dir }
    local text = fs.read(dir .. "/.github/workflows/migrate.yml")
    for _, part in ipairs { "cancel-in-progress: false", "permissions:\n  contents: read", "migrator pipeline.lua",
      "actions/checkout@v4", "fetch-depth: 0" } do
      assert.truthy(text:find(part, 1, true), part)
    end
  end)
end)

describe("scaffold.read_drizzle", function()
  it("is not misled by comments and by keys of the same name elsewhere", function()
    local text = '/* out: "a" */\n{ "out": "./b", "layout": "c", "schema": "./s.ts", dialect: "postgresql" }'
    local found = scaffold.read_drizzle(text)
    assert.same({ out = "b", dialect = "postgresql", unread = {} }, found)
  end)

  it("keeps a URL in a text from looking like a comment", function()
    assert.equal("m", scaffold.read_drizzle('{ url: "postgres://h/d", out: "m" }').out)
  end)

  it("names what is computed", function()
    assert.same({ "migrations.table", "out" },
      scaffold.read_drizzle("{ out: join(a, b), migrations: { table: T } }").unread)
  end)
end)
