---Judgement 3 of the production pipeline: whole runs with secrets of every shape, ending in every way, and a search for
---each of them in all that the run printed, wrote, gave to other programs or left in memory for them. The runner's own
---rules (spec/support/actions.lua) say what of the output is a command.
local base64 = require "migrator.lib.base64"
local cjson = require "cjson"
local cli = require "spec.support.cli"
local clock = require "migrator.core.clock"
local cloud = require "spec.support.cloud"
local db = require "migrator.db"
local ephemeral = require "migrator.ephemeral"
local fs = require "migrator.core.fs"
local hash = require "migrator.core.hash"
local process = require "migrator.core.process"
local project = require "spec.support.project"
local actions = require "spec.support.actions"
local tmp = require "spec.support.tmp"
local url_text = require "migrator.lib.url_text"
local wait = require "spec.support.wait"

local INSTANCE = "trovella-prod:us-central1:trovella-prod"

local function letters(count)
  local out = {}
  for i = 1, math.ceil(count / 64) do out[i] = hash.sha256("letters" .. i) end
  return table.concat(out):sub(1, count)
end

local function pem()
  local lines = {}
  for i = 1, 6 do lines[i] = base64.encode(hash.sha256("line" .. i)):sub(1, 64) end
  return "-----BEGIN PRIVATE KEY-----\n" .. table.concat(lines, "\n") .. "\n-----END PRIVATE KEY-----\n"
end

local SHAPES = {
  PUNCTUATION = [[p@ss:w/0rd%41#'"\|*_&<>?=;,!$`x]],
  BLANKS = "three little words 7",
  UNICODE = "pässwörd-ключ-日本-🔑",
  BASE64 = "c2VjcmV0/XBhc3N3b3Jk+g==",
  SHORT = "x7!q",
  PART_OF_HOST = "qzhost7",
  COLONS = "::add-mask::evil##[error]x",
  TOKEN = "ya29.a0AfB_byC" .. letters(180),
  LONG = letters(60000),
}

-- What a database password cannot be.
local MORE = {
  LINES = "first-line-s3cret\nsecond-line-s3cret\r\n  indented-s3cret",
  KEY_FILE = '{\n  "type": "service_account",\n  "private_key_id": "' .. letters(40) .. '",\n  "private_key": '
    .. cjson.encode(pem()):gsub("\\/", "/") .. ',\n  "x": {\n  }\n}\n',
  URL = "postgresql://other:p%40ss!w%C3%B6rd-9@db.example.org/d?sslpassword=k3y-p4ssword",
}

-- Hostile text: commands that are not ours, in all the ways in which the runner reads them.
local HOSTILE = "::set-output name=evil::EVIL\n  ::set-env name=evil::EVIL\r::add-path::EVIL\n\u{2003}::debug::EVIL\n"
  .. "x ##[set-output name=evil;]EVIL\n##[add-path]EVIL ::stop-commands::EVIL\n::stop-commands::EVIL\n"
  .. "%0A::debug::EVIL\n"
  .. "::save-state name=evil,x=%2C::EVIL\n\255\254 \194 ::echo::EVIL 🔥\n" .. ("x"):rep(65536) .. "\n::EVIL::\n"

local function add_base64(out, text)
  for shift = 0, 2 do
    local encoded = base64.encode(("\0"):rep(shift) .. text):gsub("=+$", "")
    -- The first and the last letter may hold bits of what is around it.
    local part = encoded:sub(shift == 0 and 1 or shift + 2, #encoded - 1)
    if #part >= 6 then out[part] = "base64" end
  end
end

-- The forms in which a text is looked for, made here and not by the code that hides them.
local function forms_of(secret)
  local out = { [secret] = "as it is" }
  local lines = { secret }
  for line in secret:gmatch("[^\r\n]+") do
    local inner = line:match("^%s*(.-)%s*$")
    if #inner >= 12 and not inner:find('^"type"') then lines[#lines + 1] = inner end
  end
  for _, text in ipairs(lines) do
    out[text] = "a line"
    out[url_text.encode(text)] = "percent-encoded"
    out[url_text.encode(text):gsub("%%%x%x", string.lower)] = "percent-encoded"
    out[cjson.encode(text):sub(2, -2)] = "JSON"
    out[(cjson.encode(text):sub(2, -2):gsub("\\/", "/"))] = "JSON"
    out[(text:gsub("'", "''"))] = "SQL"
    add_base64(out, text)
  end
  if #secret > 100 and not secret:find("[%s]") then
    for at = 1, math.min(#secret, 4000) - 30, 17 do out[secret:sub(at, at + 29)] = "a piece" end
    out[secret:sub(-30)] = "a piece"
  end
  return out
end

local SEARCHED
local function searched()
  if SEARCHED then return SEARCHED end
  SEARCHED = {}
  for _, list in ipairs { SHAPES, MORE } do
    for name, secret in pairs(list) do
      for form, kind in pairs(forms_of(secret)) do
        SEARCHED[#SEARCHED + 1] = { name = name, form = form, kind = kind }
      end
    end
  end
  for form in pairs(forms_of "k3y-p4ssword") do
    SEARCHED[#SEARCHED + 1] = { name = "sslpassword", form = form, kind = "?" }
  end
  for _, token in ipairs { "ya29.emulated-sa-token", "ya29.d.emulated-federated-token", "gh-runtime-token" } do
    SEARCHED[#SEARCHED + 1] = { name = token, form = token, kind = "a token" }
  end
  return SEARCHED
end

---Fails when a text holds any of the secrets.
local function clean(text, where)
  for _, item in ipairs(searched()) do
    local at = text:find(item.form, 1, true)
    if at then
      error(("%s holds %s (%s): …%s…"):format(where, item.name, item.kind, text:sub(math.max(1, at - 60),
        at + math.min(#item.form, 60) + 20)), 2)
    end
  end
end

local function files_of(folder)
  local out = {}
  local found = process.run { cmd = { "find", folder, "-type", "f", "-print0" } }.stdout
  for path in found:gmatch("%Z+") do out[#out + 1] = path end
  return out
end

local OURS = { ["add-mask"] = true, group = true, endgroup = true, ["stop-commands"] = true, error = true,
  warning = true, notice = true }

-- Our own commands and no other; what is left of the output then is the log.
local function log_of(text, where)
  local commands, log, stopped = actions.read(text)
  local annotations = {}
  for _, command in ipairs(commands) do
    assert.is_true(OURS[command.name] or false, ("%s: ::%s:: was obeyed: %s"):format(where, command.name,
      command.data:sub(1, 200)))
    if command.name == "stop-commands" then
      assert.matches("^%x+$", command.data)
    elseif command.name ~= "add-mask" then
      log = log .. "\n" .. command.data
      for _, value in pairs(command.properties) do log = log .. "\n" .. value end
    end
    if command.name == "error" then annotations[#annotations + 1] = command end
  end
  assert.is_false(stopped, where .. ": commands stay switched off")
  return log, annotations
end

local PRELUDE = [[
local names, all = {}, {}
for name in env.NAMES:gmatch("%S+") do names[#names + 1] = name end
local function fetch()
  for _, name in ipairs(names) do all[name] = secrets.get("file:secrets/" .. name) end
  all.FROM_COMMAND = secrets.get("cmd:sh secrets/tell.sh")
end
local function each(fn)
  for _, name in ipairs(names) do fn(name, all[name]) end
end
]]

local PIPELINE = PRELUDE .. [[
return pipeline { deadline = "60s", steps = {
  steps.auth { provider = env.WIF_PROVIDER, service_account = env.WIF_SERVICE_ACCOUNT, quota_project = "trovella-prod",
    endpoints = { sqladmin = env.ENDPOINT } },
  steps.secret { name = "DATABASE_URL", from = env.FROM },
  { name = "fetch", run = fetch },
  steps.proxy { @PROXY@ },
  steps.wait { proxy = { timeout = "15s" }, database = { every = "100ms", timeout = "5s" } },
  steps.migrate { dir = "migrations" },
  steps.verify { dir = "migrations" },
  steps.seed { dir = "seeds" },
  { name = "say", run = function(ctx)
    print("dsn", ctx:need "dsn", gcp.token())
    each(function(name, value)
      print(name, value, json.encode { value }, url.encode(value), (url.encode(value):gsub("%%%x%x", string.lower)))
      log.warn("%s", value)
      ci.notice { message = value, title = value, file = value }
      ci.group(value)
      ci.endgroup()
      ci.summary("`" .. value .. "` " .. value:gsub("[|<>`*_\\]", "\\%0"))
      ci.output(name, value)
      ci.foreign(function(write) write(value) end)
    end)
    log.info("%s", fs.read "hostile")
    print(fs.read "hostile")
    ci.warning(fs.read "hostile")
    ci.output("hostile", fs.read "hostile")
    ci.output("last", "here")
  end },
  steps.run { name = "child", cmd = { "sh", "child.sh" } },
  { name = "end", run = function(ctx) @ENDING@ end },
  steps.report { "text", "github", "json:report.json" },
} }
]]

local LOGIN = [[
return pipeline { deadline = "60s", steps = {
  steps.secret { name = "DATABASE_URL", from = env.FROM },
  steps.proxy { @PROXY@ },
  steps.wait { database = { every = "100ms", timeout = "5s" } },
  steps.migrate { dir = "migrations" },
  steps.verify { dir = "migrations" },
  { name = "say", run = function(ctx) print("dsn", ctx:need "dsn", url.describe(ctx:need "dsn")) end },
  steps.run { name = "child", cmd = { "sh", "-c", "echo \"$DATABASE_URL\"; env | grep -c ." } },
  steps.report { "text", "github", "json:report.json" },
} }
]]

-- How a run may end, and its exit code.
local ENDS = {
  { "well", "", 0, { "--log", "json", "p.lua" }, real = "once" },
  { "in a Lua error", "each(function(_, value) all[#all + 1] = value end) error(table.concat(all, '\\n'))", 2 },
  { "in an error that is a table", "error({ code = 'config', message = all.PUNCTUATION, hint = all.LINES })", nil },
  { "in a chunk of its own", "local f = load and load('error([==[' .. all.TOKEN .. ']==])') if f then f() end "
    .. "error(all.TOKEN)", 2 },
  { "with its proxy killed",
    "process.run { cmd = { 'kill', '-9', tostring(ctx.proxy:pid()) } } "
      .. "for _ = 1, 100 do ctx:need('conn'):value \"select pg_sleep(0.05)\" end", 4, real = "always" },
  { "in an SQL error", [[
    each(function(_, value)
      local ok, err = pcall(function() ctx:need("conn"):exec("select $1::text::int", value) end)
      log.error("%s", tostring(err))
      log.warn("%s", not ok and (err.detail or err.context) or "-")
    end)
    ctx:need("conn"):exec("select " .. db.literal(all.LONG) .. "::int")]], 1 },
  { "in a notice and an error of the server", [[
    local hostile = fs.read "hostile":gsub("[\128-\255]", "")
    local function tell(level, value, more)
      local text = ("do $x$ begin raise %s using message = %s, detail = %s; end $x$"):format(level, db.literal(value),
        db.literal(more))
      ctx:need("conn"):exec(text)
    end
    each(function(_, value) tell("warning", value, hostile) end)
    tell("exception", all.LINES .. hostile, all.PUNCTUATION)]], 1 },
}

describe("nothing secret leaves a run", function()
  local server, emulator, admin

  local function secret_url(password)
    return ("postgresql://app:%s@qzhost7.example.org:%d/postgres?sslmode=require"):format(url_text.encode(password),
      server.port)
  end

  setup(function()
    server = ephemeral.start { port = true }
    admin = db.connect(server.socket_url)
    admin:exec "create role app superuser login"
    local hba = admin:value "show hba_file"
    admin:exec(("copy (select unnest(array['local all all trust', 'host all all 127.0.0.1/32 scram-sha-256'])) to '%s'")
      :format(hba))
    admin:exec "select pg_reload_conf()"
    if not (process.find "openssl" and process.find "python3") then return end
    emulator = cloud.instance("127.0.0.1:" .. server.port,
      { "--secret", "DATABASE_URL=" .. secret_url(SHAPES.PUNCTUATION) .. "\n" })
  end)

  teardown(function()
    if emulator then emulator.handle:stop() end
    if admin then admin:close() end
    server:stop()
  end)

  -- The real one takes seconds, each time; what is searched for is the same.
  local function proxy_options(wanted)
    local real = cloud.version_two()
    if real and (wanted or not process.find "socat") then
      return ("'cloud_sql', instance = '%s', program = '%s'"):format(INSTANCE, real), true
    end
    return ("'socat', target = '127.0.0.1:%d', sslmode = 'disable'"):format(server.port), false
  end

  local function set_password(password)
    admin:exec "drop schema if exists drizzle cascade"
    admin:exec "drop schema if exists migrator cascade"
    admin:exec "drop table if exists leak"
    admin:exec("alter role app password " .. db.literal(password))
  end

  -- A folder with everything a run reads; `inputs` names what of it holds secrets.
  local function prepare(fields)
    local dir = tmp.dir {}
    local names, inputs = {}, {}
    local function input(name, text) inputs[tmp.write(dir .. "/" .. name, text)] = true end
    for _, list in ipairs { SHAPES, MORE } do
      for name, secret in pairs(list) do
        names[#names + 1] = name
        input("secrets/" .. name, secret)
      end
    end
    table.sort(names)
    input("secrets/tell.sh", "env | grep -v ^ACTIONS > secrets-env\n"
      .. "tr '\\0' '\\n' < /proc/$PPID/cmdline > parent-cmdline\n" .. "cat secrets/LINES >&2\ncat secrets/LINES\n")
    input("child.sh", "cat secrets/*; echo \"$DATABASE_URL\"; cat hostile\n"
      .. "for f in secrets/[A-Z]*; do for user in '' a: ab:; do\n"
      .. "echo; (printf '%s' $user; cat $f) | base64 -w0; done; done\n")
    input("hostile", HOSTILE)
    local script = (fields.script or PIPELINE):gsub("@(%u+)@", { PROXY = proxy_options(fields.real),
      ENDING = fields.ending or "" })
    tmp.write(dir .. "/p.lua", script)
    tmp.write(dir .. "/seeds/README.md", "nothing")
    project.write({ { "0000_leak", fields.sql or "create table leak (id int)" } }, dir .. "/migrations")
    if fields.sql then inputs[dir .. "/migrations/0000_leak.sql"] = true end
    for _, name in ipairs { "tmp", "home" } do fs.mkdir(dir .. "/" .. name) end
    for _, name in ipairs { "summary", "output" } do tmp.write(dir .. "/" .. name, "") end
    return dir, table.concat(names, " "), inputs
  end

  local function environment(dir, names, more)
    local env = cloud.job(emulator and emulator.url or "http://127.0.0.1:1", { NAMES = names,
      WIF_PROVIDER = cloud.PROVIDER, WIF_SERVICE_ACCOUNT = cloud.ACCOUNT, GITHUB_ACTIONS = "true",
      ENDPOINT = emulator and emulator.url, GITHUB_STEP_SUMMARY = dir .. "/summary", GITHUB_OUTPUT = dir .. "/output",
      TMPDIR = dir .. "/tmp", HOME = dir .. "/home", FROM = "sm://trovella-prod/DATABASE_URL", NODE_ENV = "test" })
    for name, value in pairs(more or {}) do env[name] = value end
    return env
  end

  local function need()
    if not emulator then return pending "needs python3 and openssl" end
    if not (cloud.version_two() or process.find "socat") then return pending "needs a proxy" end
    return true
  end

  local function check(ran, dir, inputs)
    local log, annotations = log_of(ran.stdout, "standard output")
    clean(log, "standard output")
    local second, more = log_of(ran.stderr, "standard error")
    clean(second, "standard error")
    for _, path in ipairs(files_of(dir)) do
      if not inputs[path] then clean(fs.read(path), path) end
    end
    table.move(more, 1, #more, #annotations + 1, annotations)
    return log .. second, annotations
  end

  ---A whole run, and the search in all that came of it.
  local function go(fields)
    local dir, names, inputs = prepare(fields)
    if fields.password then
      inputs[tmp.write(dir .. "/url", secret_url(fields.password))] = true
      fields.env = fields.env or {}
      fields.env.FROM = "file:url"
    end
    if fields.env_file then inputs[tmp.write(dir .. "/.env", fields.env_file)] = true end
    local options = { cwd = dir, env = environment(dir, names, fields.env), seconds = 90 }
    for i, word in ipairs(fields.args or { "p.lua" }) do options[i] = word end
    local ran = cli.run(options)
    local log, annotations = check(ran, dir, inputs)
    return ran, { dir = dir, log = log, annotations = annotations }
  end

  for _, ending in ipairs(ENDS) do
    for _, words in ipairs { { "--verbose", "p.lua" }, { "--json", "p.lua" }, ending[4] } do
      it(("R131 that ends %s (%s)"):format(ending[1], table.concat(words, " ", 1, #words - 1)), function()
        if not need() then return end
        if ending.real == "always" and not cloud.version_two() then return pending "needs cloud-sql-proxy 2" end
        set_password(SHAPES.PUNCTUATION)
        local real = ending.real == "always" or ending.real == "once" and words[1] == "--verbose"
        local ran, found = go { ending = ending[2], args = words, real = real }
        if ending[3] then assert.equal(ending[3], ran.code, ran.stderr:sub(-2000)) end
        assert.is_true(ending[3] == 0 or ran.code ~= 0)
        if words[1] == "--json" then
          assert.truthy(cjson.decode((ran.stdout:gsub("^.-(%b{}).*$", "%1"))))
          assert.same({}, (actions.read(ran.stdout)))
        end
        local outputs = actions.outputs(fs.read(found.dir .. "/output"))
        assert.equal("here", outputs.last)
        assert.is_nil(outputs.evil)
        assert.equal(HOSTILE, outputs.hostile)
        assert.truthy(fs.read(found.dir .. "/report.json"):find("^{"))
        local seen = fs.read(found.dir .. "/secrets-env")
        assert.not_matches("\nPGPASSWORD=", "\n" .. seen, 1, true)
        assert.not_matches("\nDATABASE_URL=", "\n" .. seen, 1, true)
      end)
    end
  end

  for name, password in pairs(SHAPES) do
    it(("R131 logs in with a password of the shape %s, and is refused with another"):format(name), function()
      if not need() then return end
      set_password(password)
      local ran, found = go { script = LOGIN, password = password }
      assert.equal(0, ran.code, found.log)
      assert.matches("dsn\tpostgresql://app:%*%*%*@127", found.log)
      admin:exec "alter role app password 'another one'"
      ran, found = go { script = LOGIN, env = { FROM = "env:DATABASE_URL" }, env_file = ("DATABASE_URL=%q\n"):format(
        secret_url(password)) }
      assert.equal(4, ran.code, found.log)
      assert.matches("authentication failed", found.log, 1, true)
      assert.equal(1, #found.annotations)
    end)
  end

  it("R131 that meets a statement with a secret in it, which the server refuses", function()
    if not need() then return end
    set_password(SHAPES.PUNCTUATION)
    for _, name in ipairs { "PUNCTUATION", "SHORT", "UNICODE", "LONG" } do
      local secret = SHAPES[name]
      local ran, found = go { sql = ("create table leak (id int);\nselect %s, '%s'::int, nothing from nowhere"):format(
        db.literal(secret), secret:gsub("'", "''"):gsub("\\", "")) }
      assert.equal(1, ran.code, found.log)
    end
    -- The line is too long to be shown whole, and is cut in the middle of the secret.
    local secret = SHAPES.BLANKS
    set_password(secret)
    for pad = 34, 38, 4 do
      local ran, found = go { script = LOGIN, password = secret, sql = ("select '%s'::text, '%s'::text, 'y'::int, '%s'")
        :format(secret, ("z"):rep(pad), ("z"):rep(150)) }
      assert.equal(1, ran.code, found.log)
      assert.matches("invalid input syntax", found.log, 1, true)
      assert.is_nil(found.log:find("s 7", 1, true), found.log)
    end
  end)

  it("R131 R133 of a URL that is none, in each place where one may stand", function()
    local bad = { "postgresql://app:x4r7#p4ss/w0rd-1@h:port/d", "postgresql://app:p4ss/w0rd-1@h/d",
      "postgres://app:p4ss@w0rd-1@h/d", "postgresql://app:p4ss%zzw0rd-1@h/d", "postgresql:/app:p4ss-w0rd-1@h/d",
      "mysql://app:p4ss-w0rd-1@h/d", "host=127.0.0.1 password='p4ss w0rd-1 user=x",
      "host=h password=p4ss-w0rd-1 nope=1",
      '"postgresql://app:p4ss-w0rd-1@h/d"', "p4ss-w0rd-1", "postgresql://app:p4ss-w0rd-1@h/d?p4ss-w0rd-1",
      "postgresql://app:12345?w0rd-1@h/d" }
    local script = "return pipeline { steps = { steps.secret { name = 'DATABASE_URL', from = env.FROM }, "
      .. "steps.wait { database = { timeout = '200ms' } }, steps.report { 'text', 'github', 'json:report.json' } } }"
    for _, text in ipairs(bad) do
      for _, fields in ipairs {
        { env = { FROM = "env:DATABASE_URL", DATABASE_URL = text } },
        { env = { FROM = "env:DATABASE_URL" }, env_file = "DATABASE_URL=" .. text .. "\n" },
        { env = { FROM = text, DATABASE_URL = text }, args = { "--verbose", "p.lua" } },
        { env = { DATABASE_URL = text }, args = { "status", "--verbose" } },
        { env = { DATABASE_URL = false }, env_file = "X=1\nDATABASE_URL='" .. text .. "\n", args = { "status" } },
        { env = { DATABASE_URL = false }, env_file = "X=1\n" .. text .. "\n", args = { "status", "--json" } },
      } do
        fields.script = script
        local ran, found = go(fields)
        assert.not_equal(0, ran.code)
        for _, part in ipairs { "p4ss", "w0rd-1", "12345", "x4r7" } do
          for _, where in ipairs { found.log, fs.read(found.dir .. "/summary") } do
            assert.is_nil(where:find(part, 1, true), text .. " -> " .. where)
          end
        end
      end
    end
  end)

  -- Every process under ours, with its arguments and its environment.
  local function family(pid)
    local out, parents = {}, {}
    for _, name in ipairs(fs.list "/proc") do
      local stat = tostring(name):find("^%d+$") and select(2, pcall(fs.read, ("/proc/%s/stat"):format(name)))
      local parent = type(stat) == "string" and stat:match("^.*%) %a (%d+)")
      if parent then parents[name] = parent end
    end
    local function is_below(name)
      while name and name ~= "1" and name ~= "0" do
        if name == tostring(pid) then return true end
        name = parents[name]
      end
    end
    for name in pairs(parents) do
      if is_below(name) then
        local function text(what)
          return (process.run { cmd = { "cat", ("/proc/%s/%s"):format(name, what) } }.stdout:gsub("%z", "\n"))
        end
        out[#out + 1] = { pid = name, own = name == tostring(pid), cmdline = text "cmdline",
          environ = "\n" .. text "environ" }
      end
    end
    return out
  end

  it("R130 R131 has no secret in any process's arguments, nor in the environment of one that needs none", function()
    if not need() then return end
    if process.user().uid ~= 0 or not fs.find "/proc/self/stat" then return pending "needs root, and /proc" end
    set_password(SHAPES.PUNCTUATION)
    local dir, names, inputs = prepare { real = true, ending = "for _ = 1, 3000 do if fs.find 'go' then return end "
      .. "if not fs.find 'ready' then fs.write('ready', '') end clock.sleep(0.01) end" }
    local given = secret_url(SHAPES.TOKEN)
    local handle <close> = cli.start { "p.lua", cwd = dir, log = dir .. "/both", env = environment(dir, names,
      { PGPASSWORD = SHAPES.BLANKS, DATABASE_URL = given, PROD_DATABASE_URL = given }) }
    wait.till(function() return fs.find(dir .. "/ready") or handle:status() end, 40)
    local found = family(handle:pid())
    tmp.write(dir .. "/go", "")
    wait.till(function() return handle:status() end, 30)
    local both = fs.read(dir .. "/both")
    assert.equal(0, handle:status().code, both:sub(-2000))
    local _, with_token = proxy_options(true)
    assert.is_true(#found >= 2)
    local seen = fs.read(dir .. "/secrets-env")
    assert.not_matches("DATABASE_URL=postgres", seen, 1, true)
    assert.not_matches("PGPASSWORD=", seen, 1, true)
    local own = {}
    for _, one in ipairs(found) do own[one.cmdline] = own[one.cmdline] or one.own end
    for _, one in ipairs(found) do
      clean(one.cmdline, "arguments of " .. one.pid)
      if not own[one.cmdline] then -- a guard is a fork of ours
        assert.not_matches("PGPASSWORD=", one.environ, 1, true)
        assert.not_matches("DATABASE_URL=postgres", one.environ, 1, true)
        local environ = one.environ
        if with_token then environ = environ:gsub("CSQL_PROXY_TOKEN=[^\n]*", "") end
        clean(environ, "environment of " .. one.pid .. " " .. one.cmdline)
      end
    end
    check({ stdout = both, stderr = "" }, dir, setmetatable({ [dir .. "/both"] = true }, { __index = inputs }))
  end)

  describe("when it crashes", function()
    local TOKEN = SHAPES.TOKEN

    -- As an ordinary user, with cores allowed: a signal that dumps one, in a folder of its own.
    local function crash(signal, how, more)
      local dir = tmp.dir { ["s.lua"] = how .. ("\nprocess.run { cmd = { 'sh', '-c', 'kill -%s $PPID; sleep 1' } }\n")
        :format(signal), token = TOKEN }
      process.run { cmd = { "chmod", "-R", "a+rwX", dir } }
      local env = cli.environment { DATABASE_URL = "postgresql://app:" .. TOKEN .. "@127.0.0.1:1/d", HOME = dir }
      for name, value in pairs(more or {}) do env[name] = value end
      local ran = process.run { cmd = { "sh", "-c", 'ulimit -c unlimited; exec "$0" s.lua', cli.program_for_all() },
        cwd = dir, env = env, user = "nobody", deadline = clock.deadline(30) }
      local cores = {}
      for _, path in ipairs(files_of(dir)) do
        if path:find("/core[^/]*$") then cores[#cores + 1] = path end
      end
      return ran, cores
    end

    local function able()
      if process.user().uid ~= 0 then return pending "needs root, to be somebody else" end
      local ran, cores = crash("SEGV", "", { DATABASE_URL = false })
      if ran.code == 127 or ran.code == 126 then return pending "nobody cannot run the program here" end
      if #cores == 0 then return pending "this machine writes no cores into the working folder" end
      return true
    end

    it("R131 leaves no core once it knows a secret, whatever the signal", function()
      if not able() then return end
      for _, signal in ipairs { "SEGV", "ABRT", "BUS", "QUIT" } do
        for _, how in ipairs { "", "secrets.get 'file:token'" } do
          local ran, cores = crash(signal, how, how ~= "" and { DATABASE_URL = false } or nil)
          assert.same({}, cores, signal .. " " .. how)
          clean(ran.stdout .. ran.stderr, signal)
        end
      end
    end)

    it("R131 has no memory for others of its user to read", function()
      if process.user().uid ~= 0 then return pending "needs root, to be somebody else" end
      local look = [[local ran = process.run { cmd = { "sh", "-c",
        "for f in mem maps environ auxv; do head -c 1 /proc/$PPID/$f >/dev/null 2>&1 && echo $f; done; echo looked" } }
        print(ran.stdout)]]
      local dir = tmp.dir { ["s.lua"] = look, token = TOKEN }
      process.run { cmd = { "chmod", "-R", "a+rX", dir } }
      local function seen(url)
        return cli.run { "s.lua", cwd = dir, user = "nobody", env = { DATABASE_URL = url } }.stdout
      end
      local open = seen "postgresql://app@127.0.0.1/d"
      if not open:find("environ", 1, true) then return pending "nobody cannot run the program here" end
      assert.equal("looked\n\n", seen("postgresql://app:" .. TOKEN .. "@127.0.0.1/d"))
    end)
  end)

  it("R131 tells the runner a secret and each of its forms before anything else prints one", function()
    if not need() then return end
    set_password(SHAPES.PUNCTUATION)
    local dir, names = prepare {}
    local ran = cli.run { "p.lua", cwd = dir, env = environment(dir, names), seconds = 60 }
    local masks, first_log = {}, {}
    for _, command in ipairs((actions.read(ran.stdout))) do
      if command.name == "add-mask" then
        masks[command.data] = masks[command.data] or command.line
      elseif command.name == "notice" then
        first_log[#first_log + 1] = command.line
      end
    end
    assert.is_true(#first_log > 5)
    for name, secret in pairs(SHAPES) do
      for form, kind in pairs(forms_of(secret)) do
        if kind ~= "a piece" and kind ~= "base64" then
          assert.truthy(masks[form], ("no mask for %s (%s)"):format(name, kind))
          assert.is_true(masks[form] < first_log[1])
        end
      end
    end
    for line in pem():gmatch("[^\n]+") do assert.is_nil(masks["}"], line) end
    assert.truthy(masks["indented-s3cret"])
  end)
end)
