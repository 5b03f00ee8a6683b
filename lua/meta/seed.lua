---@meta migrator.seed

---Data put in on purpose. In a script `seed.run`; inside a tier all of `migrator.Seed`.
---@class migrator.seed : migrator.Seed
local seed = {}

---Runs the seed tiers that the environment allows, on a session of its own, and prints a line a tier.
---Raises `seed`, or `config` for a tier that may not run here.
---```lua
---seed.run { "reference" }
---```
---@param tiers? string[] only these
---@return table result `selection`, `results`, `elapsed`
function seed.run(tiers) end

---What a tier's Lua sees as `seed`. A tier is one transaction: when anything here raises, none of it happened.
---Counts of what was created, updated, left and copied are kept for each table and shown at the end.
---@class migrator.Seed
---@field environment "production"|"staging"|"development"|"test" where we are; what is not known is production
---@field tier string its own name
---@field env table<string, string> the variables of the environment, to read
---@field null lightuserdata NULL, where nil would be a hole
local Seed = {}

---What a name in `seeds/presets.lua` may stand for; a list of tiers alone will do too, and so will "all".
---```lua
---return { lite = { "reference" }, full = "all", testing = { tiers = { "reference", "people" }, description = "for specs" } }
---```
---@class (exact) migrator.PresetDeclaration
---@field tiers string[]|"all" with all that they need
---@field description? string

---What `tier.lua` returns. Every other key is an error.
---```lua
---return { name = "reference", order = 10, environments = "all", idempotent = true, description = "models and prices" }
---```
---@class (exact) migrator.TierDeclaration
---@field name? string default: the folder's or file's name
---@field order integer tiers run in this order, but always behind what they need; no two have the same
---@field environments "all"|("production"|"staging"|"development"|"test")[]
---@field idempotent boolean a second run changes nothing; `migrator seed --prove` proves it
---@field truncates? string[] its own tables, emptied together before anything else; never in production
---@field needs? string[] tiers to run before; `"table:user"` is a table that must have rows
---@field tables? table<string, migrator.TierTable> how numbered data files go in
---@field role? string `set local role` for the tier
---@field vars? table<string, string> `set_config(name, value, true)` for the tier
---@field description? string
---@field run? fun(seed: migrator.Seed) instead of, or after, numbered files

---How `NN_table.csv`, `.json` and `.jsonl` go into their table. Without any: by the primary key.
---@class (exact) migrator.TierTable
---@field key? string[] unique columns that tell which row it is
---@field update? string[] the columns to correct (default: all but the key)
---@field touch? string set to now() in rows that are corrected
---@field insert_missing? boolean never correct a row
---@field null? string what stands for NULL in CSV when it is not quoted (default: nothing)

---Rows: a list of tables by column name, an iterator that returns such tables, or a file.
---@alias migrator.SeedRows table<string, any>[]|(fun(): table<string, any>?)|migrator.SeedReader

---@class (exact) migrator.Upsert
---@field key? string[] default: the primary key
---@field rows migrator.SeedRows
---@field columns? string[] default: the file's header, or the keys of the rows
---@field update? string[] default: all columns but the key
---@field touch? string a column set to now() where a row is updated

---Inserts rows and corrects those that are there under the same key and differ; the counts are exact.
---```lua
---seed.upsert("ai_model", { key = { "id" }, rows = seed.csv "models.csv" })
---```
---@param table string such as `user` or `auth.user`
---@param opts migrator.Upsert
---@return { created: integer, updated: integer, unchanged: integer }
function Seed.upsert(table, opts) end

---Inserts the rows whose key is not there, and leaves the others as they are.
---```lua
---seed.insert_missing("organization", { key = { "slug" }, rows = { { slug = "acme", name = "Acme" } } })
---```
---@param table string
---@param opts { key?: string[], rows: migrator.SeedRows, columns?: string[] }
---@return { created: integer, updated: integer, unchanged: integer }
function Seed.insert_missing(table, opts) end

---Adds rows by COPY, as they come, in constant memory. Rows may also be lists in the order of the columns.
---```lua
---seed.copy("event", { "at", "kind" }, function() n = n + 1 if n <= 1e6 then return { now, "tick" } end end)
---```
---@param table string
---@param columns? string[]
---@param rows migrator.SeedRows|any[][]
---@return integer rows
function Seed.copy(table, columns, rows) end

---Empties tables that the declaration lists in `truncates`; refuses when another table refers to one of them.
---```lua
---seed.truncate { "draft" }
---```
---@param tables? string[] default: all that are declared
function Seed.truncate(tables) end

---A CSV file (RFC 4180) as rows. An empty field that is not quoted is NULL.
---```lua
---for row in seed.csv("prices.csv", { delimiter = ";" }) do print(row.model) end
---```
---@param file string beside the tier
---@param opts? { delimiter?: string, null?: string, header?: boolean, columns?: string[] }
---@return migrator.SeedReader
function Seed.csv(file, opts) end

---A file with one JSON object a line, as rows.
---```lua
---seed.upsert("document_chunk", { key = { "id" }, rows = seed.jsonl "chunks.jsonl" })
---```
---@param file string
---@return migrator.SeedReader
function Seed.jsonl(file) end

---A JSON file as a value; null is seed.null.
---```lua
---for _, plan in ipairs(seed.json "plans.json") do print(plan.title) end
---```
---@param file string
---@return any
function Seed.json(file) end

---The bytes of a file.
---```lua
---local body = seed.read "terms.md"
---```
---@param file string
---@return string
function Seed.read(file) end

---Runs a statement in the tier's transaction; the values of `$1` … are parameters, never text.
---```lua
---seed.exec("update plan set status = $1 where status is null", "draft")
---```
---@param sql string
---@param ... any
---@return table rows with `affected`
function Seed.exec(sql, ...) end

---The rows of a query.
---```lua
---local owner = seed.rows("select id from \"user\" where email = $1", "mira@trovella.test")[1]
---```
---@param sql string
---@param ... any
---@return table<string, any>[]
function Seed.rows(sql, ...) end

---Returns the condition, or ends the run with the message when it does not hold.
---```lua
---seed.require(seed.rows("select 1 from ai_model limit 1")[1], "the reference tier has not run")
---```
---@generic T
---@param condition T
---@param message string
---@return T
function Seed.require(condition, message) end

---The path of a file beside the tier; raises when there is none.
---```lua
---print(seed.path "chunks.jsonl")
---```
---@param name string
---@return string
function Seed.path(name) end

---A list as the text of an array, for a parameter of seed.exec. (In rows, lists are converted by their column's type.)
---```lua
---seed.exec("delete from tag where name = any($1::text[])", seed.array { "old", "older" })
---```
---@param list any[]
---@return string
function Seed.array(list) end

---A value as JSON text, for a parameter of seed.exec.
---```lua
---seed.exec("update plan set settings = $1", seed.encode { depth = "quick" })
---```
---@param value any
---@return string
function Seed.encode(value) end

---Marks a list, so that it is written as `[]` into json even when it is empty.
---```lua
---seed.upsert("plan", { rows = { { id = 1, sources = seed.list {} } } })
---```
---@param list any[]
---@return any[]
function Seed.list(list) end

---Bytes as the text of a bytea, for a parameter of seed.exec.
---```lua
---seed.exec("insert into blob values ($1)", seed.bytea "\0\1")
---```
---@param bytes string
---@return string
function Seed.bytea(bytes) end

return seed, { ["migrator.Seed"] = Seed }
