---Sessions: the Lua half of the module `db`. The C half knows libpq; this one knows what we want of a session.
local lazy = require "migrator.lib.lazy"
local cjson = require "cjson"
local clock = require "migrator.core.clock"
local core = require "migrator.core.db"
local copying = lazy.require "migrator.lib.copying"
local duration = require "migrator.lib.duration"
local errors = require "migrator.error"
local sql = require "migrator.core.sql"
local suggest = lazy.require "migrator.lib.suggest"
local unreachable = lazy.require "migrator.lib.unreachable"
local url = require "migrator.lib.url"
local url_path = require "migrator.lib.url_path"

url_path.linked = core.keywords

local M = { null = core.null, ping = nil }

local Conn = core.conn

---Settings that hold from the first statement. What the URL asks for itself is left to it.
local function startup_options(opts, asked)
  local out = {}
  for _, name in ipairs { "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout" } do
    if opts[name] and not (asked and asked:find(name, 1, true) and not opts.override) then
      out[#out + 1] = ("-c %s=%d"):format(name, math.tointeger(opts[name] * 1000 // 1))
    end
  end
  if asked and asked ~= "" then table.insert(out, 1, asked) end
  return #out > 0 and table.concat(out, " ") or nil
end

local TRANSACTION = { role = true, vars = true, isolation = true, read_only = true, rollback = true }
local CONNECT = { connect_timeout = true, deadline = true, lock_timeout = true, statement_timeout = true,
  override = true, application_name = true, idle_in_transaction_session_timeout = true }

---A misspelt option would be a limit that does not hold, or a role that is not taken.
local function check_options(what, given, known)
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  for name in pairs(given or {}) do
    if not known[name] then
      errors.raise("usage", { message = ("%s has no option %q"):format(what, tostring(name)),
        hint = suggest.hint(tostring(name), names) })
    end
  end
  return given or {}
end

---@class migrator.ConnectOptions
---@field connect_timeout? number seconds (10)
---@field deadline? number absolute, clock.now()
---@field lock_timeout? number seconds
---@field statement_timeout? number seconds
---@field application_name? string

-- Half a minute of silence, then three questions: a network that is gone is noticed in a minute.
local KEEPALIVE = { keepalives_idle = "30", keepalives_interval = "10", keepalives_count = "3" }

---What libpq is told, and until when.
---@return table<string, string> words, number|nil deadline, string limit the words for a limit that was hit
local function prepare(target, opts)
  local words = url_path.settle(type(target) == "table" and target or (url.conninfo(target)))
  words.options = startup_options(opts, words.options)
  words.application_name = words.application_name or opts.application_name or "migrator"
  words.client_encoding = "UTF8"
  for name, default in pairs(KEEPALIVE) do words[name] = words[name] or default end
  local seconds = tonumber(words.connect_timeout) or opts.connect_timeout or 10
  words.connect_timeout = nil
  local deadline = seconds > 0 and clock.deadline(seconds) or nil
  if opts.deadline and opts.deadline < (deadline or math.huge) then
    return words, opts.deadline, "the time for it was over: that of the run (its deadline) or of its step (`timeout`)"
  end
  return words, deadline, ("connecting may take %s (--connect-timeout)"):format(duration.format(seconds))
end

local function finish(opts, limit, words, open, ...)
  local ok, conn, answers = pcall(open, ...)
  if not ok then
    if not errors.is(conn, "connect") then error(conn, 0) end
    if conn.message:find("before the deadline", 1, true) then conn.hint = conn.hint or limit end
    error(unreachable.advise(conn, words), 0)
  end
  if opts.deadline then conn:set_deadline(opts.deadline) end
  return conn, answers
end

---Opens a session. Raises `connect` with `retry = true` where waiting can help.
---@param target string|table URL, conninfo string, or libpq's key words
---@param opts? migrator.ConnectOptions
---@return migrator.Conn
function M.connect(target, opts)
  opts = check_options("connect", opts, CONNECT)
  local words, deadline, limit = prepare(target, opts)
  if not url_path.asks_name_server(words) then return (finish(opts, limit, words, core.open, words, deadline)) end
  local later <close> = core.open_later(words, deadline)
  return (finish(opts, limit, words, later.take, later))
end

---Opens a session while something else goes on. The function that comes back waits for it and raises as `connect` does;
---a session that nobody takes closes itself.
---@param questions? { oldest?: integer } texts that are asked as soon as it is open, of a server that is not too old; $1
---  of the first is the backend's pid as libpq knows it
---@return fun(): migrator.Conn, migrator.Answers take
---@return fun(): boolean is_due whether take will hardly wait
function M.connect_later(target, opts, questions)
  opts = check_options("connect_later", opts, CONNECT)
  local words, deadline, limit = prepare(target, opts)
  local later = core.open_later(words, deadline, questions, opts.deadline)
  return function() return finish(opts, limit, words, later.take, later) end, function() return later:is_due() end
end

---A connection or nil and the error: a question.
function M.try_connect(target, opts)
  local ok, result = pcall(M.connect, target, opts)
  if ok then return result end
  if errors.is(result, "connect") then return nil, result end
  error(result, 0)
end

local STARTING = "57P03"
local OF_LOGIN = { "password", "uthentication", "SCRAM", "channel binding" } -- the server has asked who we are

---One look at the server: does it answer? Whether it lets us in does not matter. PQping says the same, but sees no
---signal, and waits for a peer that never stops talking.
---@return "accepting"|"rejecting"|"no answer"|"bad parameters"
function M.ping(target)
  local conn, err = M.try_connect(target)
  if conn then
    conn:close()
    return "accepting"
  end
  if err.sqlstate then return err.sqlstate == STARTING and "rejecting" or "accepting" end
  local said = err.message:gsub("expected authentication request", "")
  for _, word in ipairs(OF_LOGIN) do
    if said:find(word, 1, true) then return "accepting" end
  end
  return err.message:find("invalid [%w_]+ value") and "bad parameters" or "no answer"
end

local function array_item(value)
  if type(value) == "table" then return M.array(value) end
  if value == core.null then return "NULL" end
  if type(value) == "boolean" then return value and "t" or "f" end
  return '"' .. tostring(value):gsub('[\\"]', "\\%0") .. '"'
end

---A Lua list as the text of a PostgreSQL array, for a parameter.
---@param list any[]
---@return string
function M.array(list)
  local out = {}
  for i, value in ipairs(list) do out[i] = array_item(value) end
  return "{" .. table.concat(out, ",") .. "}"
end

---A value as JSON text, for a json or jsonb parameter.
function M.json(value) return cjson.encode(value) end

---Bytes as the text of a bytea, for a parameter.
function M.bytea(bytes) return "\\x" .. bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end) end

function M.ident(name) return sql.quote_ident(name) end
function M.literal(text) return sql.quote_literal(text) end

---The rows of one statement.
function Conn:query(text, ...) return self:exec(text, ...) end

---The first row, or nil.
function Conn:row(text, ...) return self:exec(text, ...)[1] end

---The first column of the first row, or nil.
function Conn:value(text, ...)
  local rows = self:exec(text, ...)
  if not rows[1] then return nil end
  return rows[1][rows.columns[1]]
end

local function open_transaction(self, opts)
  self:exec("begin" .. (opts.isolation and " isolation level " .. opts.isolation or "")
    .. (opts.read_only and " read only" or ""))
  if opts.role then self:exec("set local role " .. sql.quote_ident(opts.role)) end
  for name, value in pairs(opts.vars or {}) do self:exec("select pg_catalog.set_config($1, $2, true)", name, value) end
end

---Runs fn(self) in a transaction: committed when it returns, rolled back when it raises; the first error is kept.
---@param fn fun(conn: migrator.Conn): any
---@param opts? { role?: string, vars?: table<string, string>, isolation?: string, read_only?: boolean, rollback?: boolean }
function Conn:transaction(fn, opts)
  opts = check_options("transaction", opts, TRANSACTION)
  if self:status() ~= "idle" then
    errors.raise("usage", { message = "a transaction is under way in this session already",
      hint = "call the inner work directly, or open another session with db.connect" })
  end
  local result = table.pack(pcall(function()
    open_transaction(self, opts)
    return fn(self)
  end))
  if result[1] and not opts.rollback then
    if self:status() ~= "transaction" then
      errors.raise("sql",
        { message = "the transaction was ended from inside, or failed without an error being raised" })
    end
    self:exec("commit")
  elseif self:status() ~= "closed" then
    pcall(self.exec, self, "rollback")
  end
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end

local function columns_text(columns)
  local quoted = {}
  for i, column in ipairs(columns or {}) do quoted[i] = sql.quote_ident(column) end
  return quoted[1] and " (" .. table.concat(quoted, ", ") .. ")" or ""
end

---Begins a COPY of rows in text format.
---@param target string quoted where it must be
function M.copy_text(conn, target, columns)
  return conn:copy_in(("copy %s%s from stdin"):format(target, columns_text(columns)))
end

---A CSV file's bytes into a table, as they are: the server reads them.
---@return integer rows
function M.copy_csv(conn, target, path, opts)
  local copy <close> = conn:copy_in(("copy %s%s from stdin with (format csv, header %s, delimiter %s, null %s)")
    :format(target, columns_text(opts.columns), opts.header ~= false, sql.quote_literal(opts.delimiter or ","),
      sql.quote_literal(opts.null or "")))
  copy:csv_file(path)
  return copy:finish()
end

---Where in a CSV file the server's line is.
function M.csv_place(path, header)
  return function(number)
    local row, line = core.locate_csv(path, header, number)
    return row ~= 0 and row or nil, path, line
  end
end

---Copies rows in: COPY … FROM STDIN in text format, the values escaped as they are written.
---@param table_name string quoted where it must be
---@param columns string[]
---@param rows any[][]|fun(): any[]? an iterator, or a list of rows
---@return integer rows
function Conn:copy_rows(table_name, columns, rows)
  local width, n = #columns, 0
  local ok, result = pcall(function()
    local copy <close> = M.copy_text(self, table_name, columns)
    local function add(row)
      n = n + 1
      if type(row) ~= "table" or not copy:values(row, width) then copying.refuse(row, n, columns) end
    end
    if type(rows) == "table" then
      for _, row in ipairs(rows) do add(row) end
    else
      for row in rows do add(row) end
    end
    return copy:finish()
  end)
  if ok then return result end
  error(copying.failure(result, table_name), 0)
end

local COPY_FILE = { columns = true, header = true, delimiter = true, null = true }

local function read_header(path, delimiter)
  local handle <close> = io.open(path, "rb")
  return handle and copying.header(function() return handle:read "L" end, delimiter)
end

---Copies a CSV file in, at the speed at which the server takes it; nothing of it passes through Lua.
---@param table_name string quoted where it must be
---@param path string
---@param opts? { columns?: string[], header?: boolean, delimiter?: string, null?: string } columns: default those that
---the header names
---@return integer rows
function Conn:copy_file(table_name, path, opts)
  opts = check_options("copy_file", opts, COPY_FILE)
  local header, columns = opts.header ~= false, opts.columns
  if header and not columns then columns = read_header(path, opts.delimiter) end
  local ok, result = pcall(M.copy_csv, self, table_name, path, { columns = columns, header = header,
    delimiter = opts.delimiter, null = opts.null })
  if ok then return result end
  error(copying.failure(result, table_name, M.csv_place(path, header)), 0)
end

return M
