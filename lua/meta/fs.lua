---@meta migrator.core.fs

---Files and folders. Every failure is `config`, naming the path.
---@class migrator.fs
local fs = {}

---@class migrator.FileInfo
---@field type "file"|"directory"|"other"
---@field size integer bytes
---@field mtime number seconds since 1970
---@field mode integer permission bits
---@field uid integer owner

---Returns a file's bytes.
---Raises `config`, also when it is larger than the limit.
---@param path string
---@param limit? integer bytes; 0 is none
---@return string
function fs.read(path, limit) end

---Writes a file as a whole: who reads it sees the old text or the new one.
---Raises `config`.
---@param path string
---@param data string
---@param mode? integer permission bits, 0644
function fs.write(path, data, mode) end

---Adds to the end of a file, which is made if it is not there.
---Raises `config`.
---@param path string
---@param data string
function fs.append(path, data) end

---Looks what is at a path.
---```lua
---if not fs.find "seeds/local.sql" then log.info "no local seeds" end
---```
---@param path string
---@return migrator.FileInfo? info nil when there is nothing
function fs.find(path) end

---Returns the names in a folder, sorted by bytes.
---Raises `config`.
---@param path string
---@return string[]
function fs.list(path) end

---Makes a folder and those above it. One that is there is fine.
---Raises `config`.
---@param path string
---@param mode? integer permission bits, 0755
function fs.mkdir(path, mode) end

---Removes a file, or a folder with all in it. Nothing there is fine.
---Raises `config`.
---@param path string
function fs.remove(path) end

---Renames, within one file system.
---Raises `config`.
---@param from string
---@param to string
function fs.rename(from, to) end

---Gives a file to somebody else.
---Raises `config`.
---@param path string
---@param uid integer
---@param gid integer
function fs.chown(path, uid, gid) end

---Makes a new folder, for us alone, below TMPDIR or /tmp. It is not removed by itself.
---Raises `config`.
---@param name string what its name begins with
---@return string path
function fs.temp(name) end

---Returns the absolute path without links.
---Raises `config` when there is nothing.
---@param path string
---@return string
function fs.absolute(path) end

---Returns the current folder.
---@return string
function fs.current() end

return fs
