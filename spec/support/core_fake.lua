-- Stand-ins for C modules, only where the specs run outside the host: files through io, children through a shell.
local M = {}

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function read_all(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local fakes = {}

fakes["migrator.core.clock"] = function()
  return { now = os.clock }
end

fakes["migrator.core.hash"] = function()
  return { random_hex = function(n)
    local parts = {}
    for i = 1, n do parts[i] = ("%02x"):format(math.random(0, 255)) end
    return table.concat(parts)
  end }
end

fakes["migrator.core.fs"] = function()
  local function put(mode)
    return function(path, data)
      local file = assert(io.open(path, mode))
      file:write(data)
      file:close()
    end
  end
  return {
    read = read_all, write = put("wb"), append = put("ab"),
    find = function(path)
      local file = io.open(path, "rb")
      if not file then return nil end
      local size = file:seek("end")
      file:close()
      return { type = "file", size = size, mtime = 0 }
    end,
  }
end

fakes["migrator.core.process"] = function()
  return { run = function(opts)
    local words = {}
    for i, word in ipairs(opts.cmd) do words[i] = quote(word) end
    local out, err = os.tmpname(), os.tmpname()
    local cd = opts.cwd and ("cd " .. quote(opts.cwd) .. " && ") or ""
    local _, how, code = os.execute(cd .. table.concat(words, " ") .. " >" .. out .. " 2>" .. err)
    local result = { stdout = read_all(out), stderr = read_all(err) }
    result[how == "exit" and "code" or "signal"] = code
    os.remove(out)
    os.remove(err)
    return result
  end }
end

---Makes `require` of the C modules work outside the host; inside it does nothing.
function M.install()
  for name, make in pairs(fakes) do
    if not pcall(require, name) then package.loaded[name] = make() end
  end
end

---What a function raised; fails the spec when it raised nothing.
function M.raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert(not ok, "expected an error")
  return err
end

return M
