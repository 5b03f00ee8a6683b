---migrator drift: is the live schema what the journal implies?
local array = require("migrator.sink").array
local drift = require "migrator.drift"
local engine = require "migrator.engine"
local errors = require "migrator.error"
local failure = require "migrator.sink.failure"
local print_drift = require "migrator.drift.print"

local M = {}

local function document(found)
  local server = found.server
  local out = { ok = found.ok, applied = found.applied, pending = found.pending, compared = found.compared,
    differences = array {}, warnings = array(found.warnings), expected_version = found.expected_version,
    server = { version = server.version, database = server.database, user = server.user, host = server.host } }
  for i, item in ipairs(found.differences) do
    out.differences[i] = { what = item.what, kind = item.kind, name = item.name, expected = item.expected,
      actual = item.actual }
  end
  return out
end

local function write(config, sink, args, opts)
  if args.against then errors.raise("usage", { message = "--snapshot and --against exclude each other" }) end
  opts.note = function(text) sink:diagnostic("warning", text) end
  local found, migrations = drift.write(config, args.snapshot, opts)
  sink:line(("Snapshot: %d objects of %d migration(s), PostgreSQL %s, in %s."):format(#found.objects, migrations,
    found.version, args.snapshot))
  sink:document { ok = true, file = args.snapshot, objects = #found.objects, migrations = migrations,
    expected_version = found.version }
  return 0
end

---@param config migrator.Config
---@param sink migrator.Sink
---@param args { snapshot?: string, against?: string, ignore?: string, grants?: boolean, comments?: boolean }
function M.run(config, sink, args)
  local opts = { grants = args.grants, comments = args.comments, deadline = engine.deadline(config) }
  if args.snapshot then return write(config, sink, args, opts) end
  opts.against, opts.ignore = args.against, {}
  for pattern in (args.ignore or ""):gmatch("[^,%s]+") do table.insert(opts.ignore, pattern) end
  local found = drift.run(config, opts)
  for _, text in ipairs(found.warnings) do sink:diagnostic("warning", text) end
  print_drift.differences(sink, found)
  local ok, err = pcall(drift.refuse, found)
  local out = document(found)
  if not ok then
    err = errors.wrap(err, "internal")
    out.failed = failure.document(err)
  end
  sink:document(out)
  if not ok then error(err, 0) end
  sink:line(print_drift.verdict(found))
  return 0
end

return M
