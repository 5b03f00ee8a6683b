---@meta migrator.lib.url

---Connection URLs. No message ever holds a value: it could be a part of a password.
---@class migrator.url
---@field KNOWN string[] the key words of libpq
local url = {}

---@class migrator.Url
---@field scheme string
---@field user? string
---@field password? string
---@field hosts {host: string?, port: integer?}[]
---@field dbname? string
---@field params {key: string, value: string}[] in the order written
---@field notices? string[]

---@class migrator.UrlInfo
---@field ignored table<string, string> parameters of other programs that were set aside
---@field notices string[]

---@class (exact) migrator.RewriteOptions
---@field host? string
---@field port? integer
---@field sslmode? string "disable"
---@field user? string
---@field password? string
---@field dbname? string
---@field params? table<string, string> more parameters
---@field keep_ignored? boolean keep what other programs mean by it
---@field known? string[] key words that are known, `url.KNOWN`

---Takes a connection URL, or key=value words, apart.
---Raises `config`.
---@param source string
---@return migrator.Url
function url.parse(source) end

---Puts a URL together.
---@param parts migrator.Url
---@return string
function url.format(parts) end

---Returns what libpq is told: key words and values.
---Raises `config` for a parameter that nobody knows.
---@param source string|migrator.Url
---@param known? string[]
---@return table<string, string> keywords
---@return migrator.UrlInfo info
function url.conninfo(source, known) end

---Turns a URL toward another address, by default without TLS, as a local proxy wants it.
---Raises `config` when sslmode=disable would leave this machine.
---```lua
---local through = url.rewrite(env.require "DATABASE_URL", { host = "127.0.0.1", port = 5432 })
---```
---@param source string
---@param options migrator.RewriteOptions
---@return string url
---@return migrator.UrlInfo info
function url.rewrite(source, options) end

---Says who and where, for a log line.
---Raises `config`.
---@param source string
---@return string
function url.describe(source) end

---Percent-encodes a text, for any part of a URL.
---@param text string
---@return string
function url.encode(text) end

---Replaces every password in a text by `***`.
---@param text string
---@return string
function url.redact(text) end

---Whether a host is this machine: a loopback address or name, or the folder of a unix socket.
---@param host string?
---@return boolean
function url.is_loopback(host) end

return url
