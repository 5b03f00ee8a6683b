-- Characters, classes and matching brackets of a glob: the half of the parser that needs no grammar.
local M = {}

local SLASH, BACKSLASH = 0x2F, 0x5C

local POSIX = {
  alnum = "%w", alpha = "%a", ascii = "[\0-\127]", blank = "[ \t]", cntrl = "%c", digit = "%d",
  graph = "%g", lower = "%l",
  print = "[ %g]", punct = "%p", space = "%s", upper = "%u", word = "[%w_]", xdigit = "%x",
}

---Splits text into code points; text that is not UTF-8 is taken byte by byte.
---@param text string
---@return integer[]
function M.codepoints(text)
  local list = {}
  if text:find("[\128-\255]") and utf8.len(text) then
    for _, cp in utf8.codes(text) do
      list[#list + 1] = cp
    end
    return list
  end
  for i = 1, #text do
    list[i] = text:byte(i)
  end
  return list
end

function M.encode(cps, first, last)
  local parts = {}
  for i = first, last do
    parts[#parts + 1] = utf8.char(cps[i])
  end
  return table.concat(parts)
end

-- The index of the `]` that ends the class opened at `at`, or nil.
local function class_end(cps, at)
  local i = at + 1
  if cps[i] == 0x5E then i = i + 1 end
  if cps[i] == 0x5D then i = i + 1 end
  while cps[i] do
    if cps[i] == BACKSLASH then
      i = i + 1
    elseif cps[i] == 0x5B and cps[i + 1] == 0x3A then
      local stop = i + 2
      while cps[stop] and cps[stop] ~= 0x5D do stop = stop + 1 end
      if cps[stop] and cps[stop - 1] == 0x3A then i = stop end
    elseif cps[i] == 0x5D then
      return i
    end
    i = i + 1
  end
  return nil
end

local function close_group(stack, closers, opener, at)
  for depth = #stack, 1, -1 do
    if stack[depth].char == opener then
      closers[stack[depth].at] = at
      for i = #stack, depth, -1 do stack[i] = nil end
      return
    end
  end
end

-- Where each group ends, found in one pass beforehand: an opener without a partner is plain text, and trying each one
-- in turn while parsing would take exponential time.
function M.find_closers(cps)
  local closers, stack, i = {}, {}, 1
  while cps[i] do
    local c = cps[i]
    if c == BACKSLASH then
      i = i + 1
    elseif c == 0x5B then
      local stop = class_end(cps, i)
      closers[i] = stop
      i = stop or i
    elseif c == 0x28 or c == 0x7B then
      stack[#stack + 1] = { char = c, at = i }
    elseif c == 0x29 then
      close_group(stack, closers, 0x28, i)
    elseif c == 0x7D then
      close_group(stack, closers, 0x7B, i)
    end
    i = i + 1
  end
  return closers
end

---@return fun(cp: integer): boolean
function M.class(cps, first, last)
  local negated = cps[first] == 0x5E
  local i, single, ranges, named, has_slash = negated and first + 1 or first, {}, {}, {}, false
  while i <= last do
    local c = cps[i]
    local name = c == 0x5B and M.encode(cps, i, last):match("^%[:(%a+):%]")
    if name and POSIX[name] then
      named[#named + 1] = POSIX[name]
      i = i + #name + 4
    else
      if c == BACKSLASH and i < last then
        i = i + 1
        c = cps[i]
      end
      if cps[i + 1] == 0x2D and i + 2 <= last then
        ranges[#ranges + 1] = { c, cps[i + 2] }
        i = i + 3
      else
        single[c] = true
        i = i + 1
      end
      has_slash = has_slash or c == SLASH
    end
  end
  local function inside(cp)
    if single[cp] then return true end
    for _, range in ipairs(ranges) do
      if cp >= range[1] and cp <= range[2] then return true end
    end
    if cp > 127 then return false end
    for _, pattern in ipairs(named) do
      if string.char(cp):find(pattern) then return true end
    end
    return false
  end
  if not negated then return inside end
  return function(cp) return not inside(cp) and (has_slash or cp ~= SLASH) end
end

return M
