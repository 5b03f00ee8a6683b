---@meta migrator.core.hash

---Digests and random bytes. Not a global of scripts: `journal.load` gives the hashes.
---@class migrator.hash
local hash = {}

---Returns a digest in hexadecimal.
---Raises `usage` for an algorithm that is not known.
---@param algorithm string such as "sha256", "sha384", "sha1"
---@param data string
---@return string
function hash.digest(algorithm, data) end

---Returns the SHA-256 in hexadecimal.
---@param data string
---@return string
function hash.sha256(data) end

---Returns random bytes in hexadecimal.
---Raises `internal` when the system has none.
---@param bytes? integer 1 to 256, default 16
---@return string
function hash.random_hex(bytes) end

---Signs with RS256 (RSASSA-PKCS1-v1_5 with SHA-256), as tokens are.
---Raises `config` for a key that cannot be used; the key is not in the message.
---@param pem string private RSA key without a passphrase
---@param data string
---@return string signature its bytes
function hash.sign_rs256(pem, data) end

---Begins to read the `.sql` files of a folder. Many are read while the caller does something else.
---@param dir string
---@return migrator.Folder
function hash.folder(dir) end

---@class migrator.Folder
local Folder = {}

---Returns what `TAG.sql` is, for each tag, and the number of the folder's `.sql` files: -1 when it cannot be read.
---@param tags string[]
---@return (string|false)[] hashes SHA-256; false where the file is missing, unreadable, longer than 1 MiB, not UTF-8 or
---holds a NUL
---@return integer[] sizes
---@return integer files
function Folder:texts(tags) end

---Ends it; again is harmless.
function Folder:close() end

return hash, { ["migrator.folder"] = Folder }
