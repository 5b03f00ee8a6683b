---migrator completion: a shell's completion script, made by argparse from the command line itself, plus what argparse
---cannot know: that a first word may also be a script, and that what follows a script is the script's own.
local cli = require "migrator.cli"
local errors = require "migrator.error"
local suggest = require "migrator.lib.suggest"

local M = {}

M.SHELLS = { "bash", "zsh", "fish" }

-- Replaces one place of a generated script. An argparse that writes another text is noticed here, not in a shell.
local function put(script, from, to)
  local first, last = script:find(from, 1, true)
  if not first then error(("the generated completion script has no %q"):format(from)) end
  return script:sub(1, first - 1) .. to .. script:sub(last + 1)
end

local BASH = [==[
_migrator_or_script() {
    local word at
    for ((at = 1; at < COMP_CWORD; at++)); do
        word="${COMP_WORDS[at]}"
        case "$word" in
            *.lua)
                [[ "${COMP_WORDS[at-1]}" = -* ]] || { COMPREPLY=(); return 0; }
                ;;
        esac
    done
    _migrator
    if [[ $COMP_CWORD -eq 1 && "${COMP_WORDS[1]}" != -* ]]; then
        while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -X '!*.lua' -- "${COMP_WORDS[1]}")
    fi
}

complete -F _migrator_or_script -o bashdefault -o default migrator]==]

local ZSH_WORDS = [==[
_migrator_first() {
  _alternative "commands:command:_migrator_cmds" "scripts:script:_files -g '*.lua'"
}

_migrator_cmds() {]==]

-- Found by compinit in $fpath, the file is the function's body; sourced from .zshrc, it has to register itself.
local ZSH_END = [==[

if [[ "$funcstack[1]" = _migrator ]]; then
  _migrator "$@"
elif (( $+functions[compdef] )); then
  compdef _migrator migrator
fi
]==]

local FISH = [==[

complete -c migrator -n '__fish_migrator_using_command' -xa '(__fish_migrator_scripts)'
complete -c migrator -n '__fish_migrator_seen_command script' -F

function __fish_migrator_scripts
    set -l word (commandline -ct)
    for path in $word*.lua
        echo $path
    end
    __fish_complete_directories $word ''
end
]==]

local FINISH = {}

function FINISH.bash(script) return put(script, "complete -F _migrator -o bashdefault -o default migrator", BASH) end

function FINISH.zsh(script)
  script = put(script, '": :_migrator_cmds"', '": :_migrator_first"')
  script = put(script, "case $words[1] in\n", "case $words[1] in\n    *.lua)\n      _files && return 0\n      ;;\n\n")
  script = put(script, "_migrator_cmds() {", ZSH_WORDS)
  return (script:gsub("\n_migrator%s*$", function() return ZSH_END end))
end

-- A script's name counts as a command, so that none is offered behind it.
function FINISH.fish(script)
  return put(script, "switch $arg\n", "switch $arg\n            case '*.lua'\n                set cmd $cmd script\n"
    .. "                break\n") .. FISH
end

---@param shell string
---@return string
function M.script(shell)
  if not FINISH[shell] then
    local list = table.concat(M.SHELLS, ", ")
    local near = suggest.nearest(shell, M.SHELLS)
    errors.raise("usage", { message = ("no completion for the shell %q"):format(shell),
      hint = near and ("did you mean %s? There is: %s"):format(near, list) or "there is: " .. list })
  end
  local parser = cli.parser()
  return FINISH[shell](parser[("get_%s_complete"):format(shell)](parser))
end

---@param _ migrator.Config
---@param sink migrator.Sink
---@param args { shell: string }
function M.run(_, sink, args)
  sink:write("stdout", M.script(args.shell))
  return 0
end

return M
