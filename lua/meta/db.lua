---@meta migrator.db

---Sessions with PostgreSQL. `db.exec` and its like use the run's own connection, opened when first needed;
---`db.connect` opens another.
---
---Values come back as what they are: booleans, integers (all 64 bits), floats, bytea as bytes, json decoded, arrays as
---lists. numeric, timestamps, uuid and every other type stay text. NULL is `db.null`.
---@class migrator.db
---@field null lightuserdata NULL, in rows and as a parameter
local db = {}

---@alias migrator.Parameter string|number|boolean|lightuserdata|nil

---Rows by column name, in order.
---@class migrator.Rows
---@field [integer] table<string, any>
---@field columns? string[] names in the statement's order; none when it returns no rows
---@field affected integer
---@field command string such as "INSERT 0 1"

---@class migrator.Notice
---@field severity string
---@field message string
---@field sqlstate string
---@field detail? string
---@field hint? string

---@class migrator.Notices
---@field [integer] migrator.Notice
---@field dropped integer how many had to make room

---@class (exact) migrator.ConnectOptions
---@field connect_timeout? number seconds, 10
---@field deadline? number for connecting and for all that the session does
---@field lock_timeout? number seconds
---@field statement_timeout? number seconds
---@field idle_in_transaction_session_timeout? number seconds
---@field application_name? string "migrator"
---@field override? boolean the timeouts given here win over those in the URL's `options`

---@class (exact) migrator.TransactionOptions
---@field role? string SET LOCAL ROLE
---@field vars? table<string, string> settings for this transaction, as current_setting reads them
---@field isolation? "serializable"|"repeatable read"|"read committed"
---@field read_only? boolean
---@field rollback? boolean roll back also when the function returns

---@class migrator.ServerInfo
---@field host string
---@field port string
---@field database string
---@field user string
---@field pid integer of the server's process
---@field version string
---@field version_number integer such as 150004
---@field tls boolean

---@class migrator.Identity: migrator.ServerInfo
---@field standby boolean
---@field superuser boolean
---@field bypassrls boolean
---@field system_identifier? string of the cluster, where the user may ask for it

---Opens a session.
---Raises `connect`, with `retry = true` where waiting can help; `timeout`; `config` for a URL that is none.
---```lua
---local conn <close> = db.connect(env.require "REPLICA_URL", { connect_timeout = 3 })
---print(conn:value "select pg_is_in_recovery()")
---```
---@param target? string|table<string, string> URL, conninfo, or key words; the run's database without it
---@param options? migrator.ConnectOptions
---@return migrator.Conn
function db.connect(target, options) end

---Opens a session, or says why not. Only what is not about connecting is raised.
---@param target string|table<string, string>
---@param options? migrator.ConnectOptions
---@return migrator.Conn? conn
---@return migrator.Error? err
function db.try_connect(target, options) end

---Asks whether a server takes connections, without logging in.
---Raises `config` for a URL that is none.
---@param target string|table<string, string>
---@return "accepting"|"rejecting"|"no answer"|"bad parameters"
function db.ping(target) end

---Runs one statement and returns its rows.
---Raises `sql` if the server refuses it, `connect` if the session is lost, `timeout`, `interrupted`.
---```lua
---local rows = db.exec("select id from orders where total > $1", 100)
---print(#rows, rows[1] and rows[1].id)
---```
---@param sql string one statement; `$1` … are parameters
---@param ... migrator.Parameter
---@return migrator.Rows
function db.exec(sql, ...) end

---Runs one statement and returns its rows; another name of `db.exec`.
---@param sql string
---@param ... migrator.Parameter
---@return migrator.Rows
function db.query(sql, ...) end

---Runs several statements in one go, without parameters.
---Raises as `db.exec`; without BEGIN they are one transaction.
---@param sql string
---@return migrator.Rows[] results
function db.script(sql) end

---Returns the first row of a statement.
---Raises as `db.exec`.
---@param sql string
---@param ... migrator.Parameter
---@return table<string, any>? row
function db.row(sql, ...) end

---Returns the first column of the first row.
---Raises as `db.exec`.
---```lua
---if db.value("select count(*) from orders") == 0 then log.warn "no orders" end
---```
---@param sql string
---@param ... migrator.Parameter
---@return any? value
function db.value(sql, ...) end

---Runs a function in a transaction: committed when it returns, rolled back when it raises.
---Raises what the function raises, and `sql` if the transaction was ended from inside.
---```lua
---db.transaction(function(conn)
---  conn:exec("delete from sessions where expires_at < now()")
---end, { role = "janitor" })
---```
---@generic T
---@param fn fun(conn: migrator.Conn): T
---@param options? migrator.TransactionOptions
---@return T
function db.transaction(fn, options) end

---Begins COPY … FROM STDIN.
---Raises as `db.exec`.
---@param sql string
---@return migrator.CopyIn
function db.copy_in(sql) end

---Begins COPY … TO STDOUT.
---Raises as `db.exec`.
---@param sql string
---@return migrator.CopyOut
function db.copy_out(sql) end

---Copies rows into a table.
---Raises as `db.exec`; then no row is in.
---```lua
---db.copy_rows("plans", { "id", "name" }, { { 1, "free" }, { 2, "pro" } })
---```
---@param table_name string quoted where it must be
---@param columns string[]
---@param rows any[][]|fun(): any[]? a list, or an iterator
---@return integer rows
function db.copy_rows(table_name, columns, rows) end

---Begins a batch: statements sent without waiting for each answer.
---@return migrator.Batch
function db.batch() end

---Takes the notices that came since the last call.
---@return migrator.Notices
function db.notices() end

---Says who and where we are.
---Raises as `db.exec`.
---@return migrator.Identity
function db.identity() end

---@class (exact) migrator.CatalogOptions
---@field grants? boolean owners and grants too
---@field comments? boolean
---@field schema? string of the tracking table, which is left out
---@field table? string

---@class migrator.CatalogObject
---@field kind string "table", "column", "constraint", "index", "view", "function", "policy", …
---@field name string qualified, quoted where it must be
---@field parent? string the table that it goes with
---@field definition string as the server prints it, every name in it qualified

---@class migrator.Catalog
---@field version string of the server
---@field version_number integer
---@field grants boolean
---@field comments boolean
---@field objects migrator.CatalogObject[] by kind and name; without those of extensions and of the schema migrator

---Reads the catalogue: what is in a database, in one read-only transaction. `migrator drift --against` takes it as JSON.
---Raises as `db.exec`.
---```lua
---for _, object in ipairs(db.catalog().objects) do print(object.kind, object.name) end
---```
---@param conn? migrator.Conn the run's own without it
---@param options? migrator.CatalogOptions
---@return migrator.Catalog
function db.catalog(conn, options) end

---Makes a parameter of a list: a PostgreSQL array.
---```lua
---db.exec("delete from tags where id = any($1)", db.array { 1, 2, 3 })
---```
---@param list any[]
---@return string
function db.array(list) end

---Makes a parameter of a value: json or jsonb.
---@param value any
---@return string
function db.json(value) end

---Makes a parameter of bytes: bytea.
---@param bytes string
---@return string
function db.bytea(bytes) end

---Quotes an identifier.
---@param name string
---@return string
function db.ident(name) end

---Quotes a text as a literal. Parameters are better wherever they can be.
---@param text string
---@return string
function db.literal(text) end

---A CSV file that is not `a,b` with a header.
---@class migrator.CopyFile
---@field columns? string[] default: those that the header names, else all of the table
---@field header? boolean the first record holds names (true)
---@field delimiter? string one character (`,`)
---@field null? string what stands for NULL where it is not quoted (default: nothing)

---A session. `local conn <close>` closes it.
---@class migrator.Conn
local Conn = {}

---Runs one statement and returns its rows.
---Raises `sql`, `connect`, `timeout`, `interrupted`.
---@param sql string
---@param ... migrator.Parameter
---@return migrator.Rows
function Conn:exec(sql, ...) end

---Runs one statement and returns its rows; another name of `exec`.
---@param sql string
---@param ... migrator.Parameter
---@return migrator.Rows
function Conn:query(sql, ...) end

---Runs several statements in one go, without parameters. Raises as `exec`.
---@param sql string
---@return migrator.Rows[] results
function Conn:script(sql) end

---Returns the first row of a statement. Raises as `exec`.
---@param sql string
---@param ... migrator.Parameter
---@return table<string, any>? row
function Conn:row(sql, ...) end

---Returns the first column of the first row. Raises as `exec`.
---@param sql string
---@param ... migrator.Parameter
---@return any? value
function Conn:value(sql, ...) end

---Runs a function in a transaction: committed when it returns, rolled back when it raises.
---Raises what the function raises, and `sql` if the transaction was ended from inside.
---@generic T
---@param fn fun(conn: migrator.Conn): T
---@param options? migrator.TransactionOptions
---@return T
function Conn:transaction(fn, options) end

---Begins COPY … FROM STDIN. Raises as `exec`.
---```lua
---local copy <close> = conn:copy_in "copy plans (id, name) from stdin"
---copy:row(1, "free")
---print(copy:finish())
---```
---@param sql string
---@return migrator.CopyIn
function Conn:copy_in(sql) end

---Begins COPY … TO STDOUT. Raises as `exec`.
---@param sql string
---@return migrator.CopyOut
function Conn:copy_out(sql) end

---Copies rows into a table, in constant memory. Raises as `exec`, with the `row`; then no row is in.
---@param table_name string quoted where it must be
---@param columns string[]
---@param rows any[][]|fun(): any[]? a list, or an iterator
---@return integer rows
function Conn:copy_rows(table_name, columns, rows) end

---Copies a CSV file into a table, at the speed at which the server takes it; the server reads it.
---Raises as `exec`, with `file`, `line` and `row`; then no row is in.
---```lua
---conn:copy_file("plans", "plans.csv", { delimiter = ";" })
---```
---@param table_name string quoted where it must be
---@param path string
---@param options? migrator.CopyFile
---@return integer rows
function Conn:copy_file(table_name, path, options) end

---Begins a batch: statements sent without waiting for each answer.
---@return migrator.Batch
function Conn:batch() end

---Takes the notices that came since the last call.
---@return migrator.Notices
function Conn:notices() end

---Says what the session is in: "failed" is a transaction after an error.
---@return "idle"|"active"|"transaction"|"failed"|"unknown"|"closed"
function Conn:status() end

---Returns a setting that the server reports by itself, such as "TimeZone".
---@param name string
---@return string? value
function Conn:parameter(name) end

---Says who and where we are, without asking the server. Raises `connect` when it is closed.
---@return migrator.ServerInfo
function Conn:info() end

---How often an answer of the server was waited for since connecting; a closed session still knows.
---```lua
---local before = conn:round_trips()
---```
---@return integer
function Conn:round_trips() end

---Sets the deadline of all that follows; a statement that runs then is cancelled.
---@param deadline? number nil: none
function Conn:set_deadline(deadline) end

---Asks the server to cancel what runs. Raises `connect`.
---@return nil
function Conn:cancel() end

---Closes the session; an open transaction is rolled back. Again is harmless.
---@return nil
function Conn:close() end

---Statements under way in pipeline mode; the session does nothing else meanwhile.
---@class migrator.Batch
local Batch = {}

---Queues a statement.
---Raises `connect`.
---@param sql string one statement
---@param ... migrator.Parameter
---@return integer index its number in this batch
function Batch:queue(sql, ...) end

---Sends what is queued. Raises `connect`.
function Batch:flush() end

---Ends a group: after an error the server skips to here. It counts as a statement. Raises `connect`.
function Batch:sync() end

---Waits until `next` has an answer. Raises `connect`, `interrupted`.
---@param deadline? number
---@return boolean ready false when the deadline came first
function Batch:wait(deadline) end

---Says whether `next` has an answer that was read already. Raises `connect`.
---@return boolean
function Batch:ready() end

---Sends what can be sent, and reads what is there, without waiting. Raises `connect`.
function Batch:poll() end

---Returns the next result, in order.
---Raises `sql` with the `index` of the statement; `connect`, `timeout`, `interrupted`.
---```lua
---local batch <close> = conn:batch()
---for _, id in ipairs(ids) do batch:queue("select touch($1)", id) end
---batch:sync()
---for result in function() return batch:next() end do print(result) end
---```
---@return migrator.Rows|"sync"|"aborted"|nil result "aborted": skipped after an error; nil: that was all
function Batch:next() end

---Ends the batch. What was not received is dropped and may or may not have run.
function Batch:close() end

---Rows on their way in.
---@class migrator.CopyIn
local CopyIn = {}

---Sends bytes as they are. Raises `sql`, `connect`, `timeout`.
---@param data string in the format that COPY was told
function CopyIn:write(data) end

---Sends one row in text format, its values converted like parameters. Raises as `write`.
---@param ... migrator.Parameter
function CopyIn:row(...) end

---Sends one row, the first `width` values, unless one of them has no text or there are more. Raises as `write`.
---@param list any[]
---@param width integer
---@return boolean sent
function CopyIn:values(list, width) end

---Sends one row, the fields with these names, unless one has no text or there are more or fewer. Raises as `write`.
---@param record table<string, any>
---@param names string[]
---@return boolean sent
function CopyIn:fields(record, names) end

---Says what `json_lines` makes of each line.
---@param names string[] the keys that every line has, in the order of the columns
---@param forms ("plain"|"number"|"raw"|"vector"|"array"|"arrays")[] of each column; raw is json, arrays are of json
function CopyIn:json_columns(names, forms) end

---Sends lines of JSON as rows, and stops before one that is not as `json_columns` says. Raises as `write`.
---@param text string whole lines
---@param from integer the byte to begin at
---@return integer behind the byte behind the lines that were sent
---@return integer rows
---@return integer lines blank ones too
function CopyIn:json_lines(text, from) end

---Sends a file's bytes as they are. Raises as `write`; `usage` for a line that would end the COPY early.
---@param path string
function CopyIn:csv_file(path) end

---Ends the COPY. Raises `sql` when a row is refused; then none is in.
---@return integer rows
function CopyIn:finish() end

---Gives up: no row is in. Raises `sql`, with the reason.
---@param reason? string "abandoned"
function CopyIn:abort(reason) end

---Gives up unless it was finished. `local copy <close>` does it.
function CopyIn:close() end

---Rows on their way out.
---@class migrator.CopyOut
local CopyOut = {}

---Returns the next piece: one row in the format that COPY was told. Raises `sql`, `connect`, `timeout`.
---@return string? data nil at the end
---@return integer? rows at the end
function CopyOut:read() end

---Drops the rest.
function CopyOut:close() end

return db, { ["migrator.conn"] = Conn, ["migrator.batch"] = Batch, ["migrator.copy_in"] = CopyIn,
  ["migrator.copy_out"] = CopyOut }
