---@meta _

---What a script sees besides the safe part of Lua's standard library. `require` finds files beside the script.

---Sessions with PostgreSQL.
---@type migrator.db
db = {}

---The ordered migrations of the repository.
---@type migrator.journal
journal = {}

---A program that the run needs beside it.
---@type migrator.proxy
proxy = {}

---Other programs.
---@type migrator.process
process = {}

---HTTP requests and ports.
---@type migrator.http
http = {}

---JSON.
---@type migrator.json
json = {}

---The environment.
---@type migrator.env
env = {}

---Lines for people.
---@type migrator.log
log = {}

---Files and folders.
---@type migrator.fs
fs = {}

---Time and deadlines.
---@type migrator.clock
clock = {}

---Connection URLs.
---@type migrator.url
url = {}

---The CI system.
---@type migrator.ci
ci = {}

---What changed in the repository.
---@type migrator.git
git = {}

---Data put in on purpose.
---@type migrator.seed
seed = {}

---Secrets, from where they are kept.
---@type migrator.secrets
secrets = {}

---Google Cloud: who we are there.
---@type migrator.gcp
gcp = {}

---The ready-made steps.
---@type migrator.steps
steps = {}

---Row-level security.
---@type migrator.rls
rls = {}

---Facts in, a decision out.
---@type migrator.policy
policy = {}

---Questions before what cannot be undone.
---@type migrator.confirm
confirm = {}

---The arguments of the script.
---@type string[]
arg = {}

---Hides a secret in all that is printed from now on. One of less than six characters is not hidden.
---```lua
---mask(fs.read "/run/secrets/api-key")
---```
---@param secret string?
function mask(secret) end
