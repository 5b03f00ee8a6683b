---@meta migrator.core.http

---HTTP requests, and ports of this machine. libcurl is loaded by the first request.
---@class migrator.http
local http = {}

---@class (exact) migrator.HttpOptions
---@field method? string default "GET", "POST" with a body
---@field headers? table<string, string|number>
---@field body? string
---@field deadline? number
---@field connect_timeout? number seconds for the connection alone
---@field follow? boolean|integer redirects to follow: true is 5, default none
---@field max_bytes? integer of the answer's body, default 8 MiB
---@field ca_file? string certificates to trust instead of the system's

---@class (exact) migrator.HttpRequest: migrator.HttpOptions
---@field url string http or https; a loopback host is never asked through a proxy

---@class migrator.HttpResponse
---@field status integer
---@field headers table<string, string> by lower-cased name; what came twice is joined with ", "
---@field body string

---Sends a request. Every status is an answer.
---Raises `http` (no connection, TLS, answer too large), `timeout`, `interrupted`.
---```lua
---local token = http.request { url = "http://169.254.169.254/token", headers = { ["Metadata-Flavor"] = "Google" } }
---```
---@param request migrator.HttpRequest
---@return migrator.HttpResponse
function http.request(request) end

---Sends a request for a URL; raises as `http.request` does.
---@param url string
---@param options? migrator.HttpOptions
---@return migrator.HttpResponse
function http.get(url, options) end

---Asks for a URL. Only `interrupted` is raised.
---@param url string
---@param options? migrator.HttpOptions
---@return migrator.HttpResponse? response
---@return string? message why there is none
function http.try_get(url, options) end

---Whether nobody listens on a port.
---@param port integer
---@param host? string numeric address; without it both loopback addresses must be free
---@return boolean
function http.port_free(port, host) end

---A port that is free on both loopback addresses now, and not one that the system gives to outgoing connections.
---@return integer
function http.find_port() end

return http
