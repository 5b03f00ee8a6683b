std = "lua54"
max_line_length = 120
max_string_line_length = false
max_comment_line_length = 150 -- an annotation is one line
self = false

local script = { "db", "journal", "proxy", "process", "http", "json", "env", "log", "fs", "git", "clock", "url", "ci", "seed",
  "pipeline", "rls", "secrets", "gcp", "steps", "policy", "confirm", "mask", "arg" }

files["spec"] = { std = "+busted", globals = { "arg", "db", "as_role", "rls" } }
files["lua/meta"] = { ignore = { "212", "221", "241" } }
files["lua/meta/globals.lua"] = { globals = script }
files["lua/meta/pipeline.lua"] = { globals = { "pipeline" } }
files["lua/templates"] = { read_globals = script }
files["seeds"] = { read_globals = script }
files["scripts/*.lua"] = { read_globals = script }
files["scripts/dev/servers"] = { read_globals = script }
files["scripts/bench"] = { read_globals = script }
files["scripts/dev/*.lua"] = { globals = { "arg" } }
