local cli = require "spec.support.cli"
local fs = require "migrator.core.fs"
local process = require "migrator.core.process"
local tmp = require "spec.support.tmp"

local SHELLS = { "bash", "zsh", "fish" }

-- What a shell offers for a line; `ask` is the shell's own code, run beside a script, a folder and another file.
local function offered(shell, ask)
  local script = cli.run { "completion", shell }.stdout
  local dir = tmp.dir { ["_migrator"] = script, ["deploy.lua"] = "", ["notes.txt"] = "", ["folder/more.lua"] = "" }
  local ran = process.run { cmd = { shell, "-c", ask }, cwd = dir, env = { HOME = dir } }
  local words = {}
  for word in ran.stdout:gmatch("[^\n]+") do words[word:match("^[^\t]+")] = true end
  return words, ran.stderr
end

local BASH = [[source ./_migrator; COMP_WORDS=(%s); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
  _migrator_or_script; printf '%%s\n' "${COMPREPLY[@]}"]]

describe("migrator completion", function()
  for _, shell in ipairs(SHELLS) do
    it("prints a script that " .. shell .. " can read", function()
      if not process.find(shell) then return pending("needs " .. shell) end
      local made = cli.run { "completion", shell }
      local dir = tmp.dir { script = made.stdout }
      local ran = process.run { cmd = { shell, "-n", dir .. "/script" } }
      assert.same({ 0, 0, "" }, { made.code, ran.code, ran.stderr })
    end)
  end

  it("names every command in each script", function()
    for _, shell in ipairs(SHELLS) do
      local script = cli.run { "completion", shell }.stdout
      for _, command in ipairs(require("migrator.commands").list) do
        if not command.hidden then assert.truthy(script:find(command.name, 1, true), shell .. ": " .. command.name) end
      end
    end
  end)

  it("offers commands and scripts for the first word in bash", function()
    local words = offered("bash", BASH:format("migrator ''"))
    assert.same({ true, true, nil }, { words.status, words["deploy.lua"], words["notes.txt"] })
  end)

  it("offers the options of a command in bash", function()
    local words = offered("bash", BASH:format("migrator status --"))
    assert.same({ true, true, nil }, { words["--check"], words["--url"], words["--drop"] })
  end)

  it("leaves the words behind a script to the script in bash", function()
    assert.same({}, (offered("bash", BASH:format("migrator deploy.lua mi"))))
  end)

  it("offers commands and scripts for the first word in fish", function()
    if not process.find("fish") then return pending("needs fish") end
    local words = offered("fish", "source ./_migrator; complete -C 'migrator '")
    assert.same({ true, true, nil }, { words.status, words["deploy.lua"], words["notes.txt"] })
  end)

  it("leaves the words behind a script to the script in fish", function()
    if not process.find("fish") then return pending("needs fish") end
    local words = offered("fish", "source ./_migrator; complete -C 'migrator deploy.lua '")
    assert.same({ nil, true }, { words.status, words["notes.txt"] })
  end)

  it("registers itself when zsh reads it from .zshrc", function()
    if not process.find("zsh") then return pending("needs zsh") end
    local words, err = offered("zsh", "autoload -U compinit; compinit -u -D; . ./_migrator; print $_comps[migrator]")
    assert.same({ { _migrator = true }, "" }, { words, err })
  end)

  it("is found by zsh in fpath", function()
    if not process.find("zsh") then return pending("needs zsh") end
    local words = offered("zsh", "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; print $_comps[migrator]")
    assert.same({ _migrator = true }, words)
  end)

  it("refuses a shell that it does not know, and says which there are", function()
    local ran = cli.run { "completion", "tcsh" }
    assert.same({ 2, "" }, { ran.code, ran.stdout })
    assert.truthy(ran.stderr:find("bash, zsh, fish", 1, true))
  end)

  it("guesses the shell that was meant", function()
    assert.truthy(cli.run({ "completion", "bsh" }).stderr:find("did you mean bash?", 1, true))
  end)

  it("touches no file", function()
    local dir = tmp.dir()
    cli.run { "completion", "bash", cwd = dir }
    assert.same({}, fs.list(dir))
  end)
end)
