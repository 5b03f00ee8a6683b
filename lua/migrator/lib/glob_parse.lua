-- Glob text to a small tree of nodes, with picomatch 2.3.1 {dot = true} meanings.
-- Nodes: {"char", cp} {"any"} (one character, not a slash) {"all"} (one character) {"class", fn} {"seq", ...}
-- {"alt", ...} {"rep", node, min} {"opt", node} {"more"} (something follows) {"end"} {"neg", inside, tail}.
local scan = require "migrator.lib.glob_scan"

local M = {}

local SLASH, STAR, BANG, QUOTE, BACKSLASH = 0x2F, 0x2A, 0x21, 0x22, 0x5C
local SPECIAL_IN_CLASS = "[%-%*%+%?%.%^%${}%(|%)%[%]\\]"
local EXTGLOB = { ["@"] = true, ["*"] = true, ["+"] = true, ["?"] = true, ["!"] = true }

local encode, codepoints = scan.encode, scan.codepoints

local function literal(cps, first, last)
  local seq = { "seq" }
  for i = first, last do
    seq[#seq + 1] = { "char", cps[i] }
  end
  return seq
end

local Parser = {}
Parser.__index = Parser

-- A class without special characters also matches its own spelling: `x[1].txt` is a file name that people have.
function Parser:class(at)
  local stop = self.closers[at]
  local class = { "class", scan.class(self.cps, at + 1, stop - 1) }
  self.i = stop + 1
  if encode(self.cps, at + 1, stop - 1):find(SPECIAL_IN_CLASS) then return class end
  return { "alt", literal(self.cps, at, stop), class }
end

-- Parses up to `last`; `separator` splits alternatives that belong to this level.
function Parser:alternatives(last, separator, opener)
  local alt = { "alt" }
  repeat
    alt[#alt + 1] = self:sequence(last, separator, opener)
    local more = self.i <= last
    if more then self.i = self.i + 1 end
  until not more
  return alt
end

function Parser:negation(at, stop, inner)
  local rest = encode(self.cps, stop + 1, #self.cps)
  local text = encode(self.cps, at + 2, stop - 1)
  local crosses = #text > 1 and text:find("/", 1, true)
  local tail = { "seq" }
  if crosses or rest:find("^%)*$") then
    tail = { "end" }
  elseif text:find("*", 1, true) and rest:find("^%.[^\\/.]+$") then
    tail = M.parse_cps(codepoints(rest))
  end
  return { "seq", { "neg", inner, tail }, { "rep", { crosses and "all" or "any" }, 0 } }
end

function Parser:extglob(mark, out)
  local at = self.i
  local stop = self.closers[at + 1]
  local lead = mark ~= "@" and #out == 1 and self.depth == 0
  self.i, self.depth = at + 2, self.depth + 1
  local inner = self:alternatives(stop - 1, 0x7C, "paren")
  self.i, self.depth = stop + 1, self.depth - 1
  local node = inner
  if mark == "!" then
    node = self:negation(at, stop, inner)
  elseif mark == "*" or mark == "+" then
    node = { "rep", inner, mark == "+" and 1 or 0 }
  elseif mark == "?" then
    node = { "opt", inner }
  end
  return lead and { "seq", { "more" }, node } or node
end

-- `{a,b}` is a choice; `{1..9}` becomes the class `[1-9]`, as picomatch does without an expander; `{a}` is text.
function Parser:brace()
  local at, stop = self.i, self.closers[self.i]
  local text = encode(self.cps, at + 1, stop - 1)
  local low, high = text:match("^([^,.]+)%.%.([^,.]+)$")
  if low then
    if high < low then low, high = high, low end
    local range = codepoints(low .. "-" .. high)
    self.i = stop + 1
    return { "class", scan.class(range, 1, #range) }, "brace"
  end
  self.i = at + 1
  local inner = self:alternatives(stop - 1, 0x2C, "brace")
  self.i = stop + 1
  if #inner > 2 then return inner, "brace" end
  return { "seq", { "char", 0x7B }, inner, { "char", 0x7D } }, "text"
end

local ANY_STAR, ALL_STAR = { "rep", { "any" }, 0 }, { "rep", { "all" }, 0 }
local SLASH_NODE = { "char", SLASH }

-- `**` that stands alone between slashes; `seen` says what came before it. Answers nil where it is only a star.
function Parser:globstar(out, seen, last)
  local next_cp = self.cps[self.i]
  local at_end = self.i > #self.cps
  if seen == "bos" and at_end then return ALL_STAR, "globstar" end
  local inner_slash = seen == "slash" and #out > 2 and out[#out] == SLASH_NODE
  -- `dir/**` takes `dir` itself, `*/**` does not take `a`.
  local after_star = self.before == "star" or self.before == "globstar"
  if inner_slash and ((at_end and not after_star) or next_cp == SLASH) then
    out[#out] = nil
    if at_end then return { "alt", { "seq", SLASH_NODE, ALL_STAR }, { "end" } }, "globstar" end
    self.i = self.i + 1
    local choice = { "alt", { "seq", SLASH_NODE, ALL_STAR, SLASH_NODE }, SLASH_NODE }
    if self.i <= #self.cps then choice[4] = { "end" } end
    return choice, "slash"
  end
  if seen == "bos" and next_cp == SLASH then
    self.i = self.i + 1
    return { "alt", { "seq" }, { "seq", ALL_STAR, SLASH_NODE } }, "slash"
  end
  local is_choice = next_cp == 0x40 and self.cps[self.i + 1] == 0x28
  local is_bracket = next_cp == 0x28 or next_cp == 0x29 or next_cp == 0x7B
  local alone = next_cp == SLASH or is_choice or is_bracket or at_end or self.i > last
    or (seen == "open" and (next_cp == 0x2C or next_cp == 0x7C))
  local begins = seen == "slash" or seen == "bos" or seen == "open" or seen == "paren"
  if begins and alone then return ALL_STAR, "globstar" end
  return nil
end

function Parser:stars(out, seen, last)
  local start = self.i
  while self.cps[self.i] == STAR
    and not (self.i > start and self.closers[self.i + 1] and self.cps[self.i + 1] == 0x28) do
    self.i = self.i + 1
  end
  local count = self.i - start
  if count == 2 then
    while self.cps[self.i] == SLASH and self.cps[self.i + 1] == STAR and self.cps[self.i + 2] == STAR
      and (self.cps[self.i + 3] == nil or self.cps[self.i + 3] == SLASH) do
      self.i = self.i + 3
    end
    local node, kind = self:globstar(out, seen, last)
    if node then return node, kind end
  end
  if count == 1 and (seen == "bos" or seen == "slash" or seen == "dot") then
    return { "seq", { "more" }, ANY_STAR }, "star"
  end
  return ANY_STAR, "star"
end

function Parser:quantify(out, seen, c)
  if self.cps[self.i + 1] == 0x28 and self.closers[self.i + 1] then return false end
  local after_group = seen == "paren" or seen == "brace" or seen == "class"
  if c == 0x2B and #out > 1 and (after_group or self.depth > 0) then
    out[#out] = { "rep", out[#out], 1 }
  elseif c == 0x3F and seen == "paren" then
    -- After `+(…)` and `*(…)` the regular expression reads `?` as "lazy", which changes nothing here.
    if out[#out][1] ~= "rep" then out[#out] = { "opt", out[#out] } end
  else
    return false
  end
  self.i = self.i + 1
  return true
end

function Parser:group()
  local stop = self.closers[self.i]
  self.i, self.depth = self.i + 1, self.depth + 1
  local node = self:alternatives(stop - 1, 0x7C, "paren")
  self.i, self.depth = stop + 1, self.depth - 1
  return node, "paren"
end

function Parser:text(seen)
  local c = self.cps[self.i]
  if c == BACKSLASH and self.cps[self.i + 1] then
    self.i = self.i + 1
    c = self.cps[self.i]
    self.i = self.i + 1
    return { "char", c }, "text"
  end
  self.i = self.i + 1
  if c == SLASH then return SLASH_NODE, "slash" end
  local dotted = c == 0x2E and (seen == "bos" or seen == "slash" or self.depth > 0 or seen == "open")
  return { "char", c }, dotted and "dot" or "text"
end

function Parser:quoted(last)
  local stop = self.i + 1
  while stop <= last and self.cps[stop] ~= QUOTE do stop = stop + 1 end
  local node = literal(self.cps, self.i + 1, stop - 1)
  self.i = stop + 1
  return node, "text"
end

function Parser:atom(out, seen, last)
  local c = self.cps[self.i]
  local stop, after = self.closers[self.i], self.closers[self.i + 1]
  local mark = c < 128 and string.char(c)
  if EXTGLOB[mark] and after and self.cps[self.i + 1] == 0x28 then return self:extglob(mark, out), "paren" end
  if c == STAR then return self:stars(out, seen, last) end
  if c == QUOTE then return self:quoted(last) end
  if c == 0x3F then
    self.i = self.i + 1
    return { "any" }, "text"
  end
  if stop and c == 0x5B then return self:class(self.i), "class" end
  if stop and c == 0x7B then return self:brace() end
  if stop and c == 0x28 then return self:group() end
  return self:text(seen)
end

function Parser:sequence(last, separator, opener)
  local out, seen = { "seq" }, opener and "open" or "bos"
  while self.i <= last and self.cps[self.i] ~= separator do
    if not self:quantify(out, seen, self.cps[self.i]) then
      -- `**` takes the slash before it out of the list, so the place is looked up afterwards.
      local node, kind = self:atom(out, seen, last)
      self.before, seen = seen, kind
      out[#out + 1] = node
    end
  end
  self.last_kind = seen
  return out
end

---@param cps integer[]
---@return table tree
function M.parse_cps(cps)
  -- picomatch's short way for `**.sql`: here alone `**` crosses slashes without one beside it.
  if encode(cps, 1, #cps):find("^%*%*%.[%w_.]*[%w_]$") then
    return { "seq", ALL_STAR, literal(cps, 3, #cps), { "opt", SLASH_NODE } }
  end
  local parser = setmetatable({ cps = cps, i = 1, depth = 0, closers = scan.find_closers(cps) }, Parser)
  local tree = parser:sequence(#cps, nil, nil)
  if parser.last_kind == "star" or parser.last_kind == "class" then tree[#tree + 1] = { "opt", SLASH_NODE } end
  return tree
end

---@param pattern string
---@return table tree
---@return boolean negated
function M.parse(pattern)
  local negated, cps = false, codepoints(pattern)
  local first = 1
  while cps[first] == BANG and not (cps[first + 1] == 0x28 and cps[first + 2] ~= 0x3F) do
    negated, first = not negated, first + 1
  end
  if cps[first] == 0x2E and cps[first + 1] == SLASH then first = first + 2 end
  return M.parse_cps(table.move(cps, first, #cps, 1, {})), negated
end

return M
