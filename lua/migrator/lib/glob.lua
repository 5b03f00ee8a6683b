-- Path patterns as dorny/paths-filter reads them: picomatch 2.3.1 with {dot = true}, case-sensitive, whole paths,
-- forward slashes. Patterns become a state machine that is walked with a set of states, so no pattern can make it slow.
-- Known differences: `.` and `..` segments are not special (git never prints them); `\d` and the like mean the letter.
local parse = require "migrator.lib.glob_parse"
local scan = require "migrator.lib.glob_scan"
local errors = require "migrator.error"

local M = {}

local Builder = {}
Builder.__index = Builder

function Builder:add(state)
  self[#self + 1] = state
  return state
end

local builders = {}

-- Builds the states of `node` so that they lead to `next`; answers the first of them.
local function build(b, node, next)
  return builders[node[1]](b, node, next)
end

local function leaf(kind)
  return function(b, node, next) return b:add { kind = kind, value = node[2], next = next } end
end

for _, kind in ipairs { "char", "any", "all", "class", "more", "end" } do
  builders[kind] = leaf(kind)
end

function builders.seq(b, node, next)
  for i = #node, 2, -1 do
    next = build(b, node[i], next)
  end
  return next
end

function builders.alt(b, node, next)
  local ways = {}
  for i = 2, #node do
    ways[#ways + 1] = build(b, node[i], next)
  end
  return b:add { kind = "split", ways = ways }
end

function builders.opt(b, node, next)
  return b:add { kind = "split", ways = { build(b, node[2], next), next } }
end

function builders.rep(b, node, next)
  local loop = b:add { kind = "split", ways = {} }
  local body = build(b, node[2], loop)
  loop.ways = { body, next }
  return node[3] == 1 and body or loop
end

-- A look-ahead: its own little machine, tried where the state is reached, remembered for each place.
function builders.neg(b, node, next)
  local inside = build(b, node[2], build(b, node[3], { kind = "match" }))
  return b:add { kind = "neg", inside = inside, next = next }
end

local run

local function is_refused(state, text, at, memo)
  local known = memo[state]
  if not known then
    known = {}
    memo[state] = known
  end
  if known[at] == nil then known[at] = run(state.inside, text, at, memo) end
  return known[at]
end

-- Follows every state that consumes nothing. Answers true when the end of the machine is among them.
local function close(state, text, at, set, memo)
  local stack = { state }
  while #stack > 0 do
    local s = table.remove(stack)
    if not set[s] then
      set[s] = true
      local kind = s.kind
      if kind == "match" then return true end
      if kind == "split" then
        for i = #s.ways, 1, -1 do stack[#stack + 1] = s.ways[i] end
      elseif kind == "more" or kind == "end" then
        if (at <= #text) == (kind == "more") then stack[#stack + 1] = s.next end
      elseif kind == "neg" then
        if not is_refused(s, text, at, memo) then stack[#stack + 1] = s.next end
      else
        set[#set + 1] = s
      end
    end
  end
  return false
end

local function takes(s, cp)
  if s.kind == "char" then return s.value == cp end
  if s.kind == "any" then return cp ~= 0x2F end
  if s.kind == "class" then return s.value(cp) end
  return true
end

function run(start, text, at, memo)
  local set = {}
  if close(start, text, at, set, memo) then return true end
  for i = at, #text do
    local after = {}
    for _, s in ipairs(set) do
      if takes(s, text[i]) and close(s.next, text, i + 1, after, memo) then return true end
    end
    if #after == 0 then return false end
    set = after
  end
  return false
end

-- Bytes that every match begins with: most paths of a large repository are decided by this alone.
local function literal_prefix(tree)
  local parts = {}
  for i = 2, #tree do
    if tree[i][1] ~= "char" then break end
    parts[#parts + 1] = tree[i][2] < 128 and string.char(tree[i][2]) or nil
    if tree[i][2] >= 128 then break end
  end
  return table.concat(parts)
end

---Makes a function that tells whether a path matches. Raises `config` for an empty pattern.
---@param pattern string
---@return fun(path: string): boolean
function M.compile(pattern)
  if type(pattern) ~= "string" or pattern == "" then
    errors.raise("config", { message = "bad path pattern: expected a non-empty string" })
  end
  local tree, negated = parse.parse(pattern)
  local machine = setmetatable({}, Builder)
  local start = build(machine, tree, build(machine, { "end" }, { kind = "match" }))
  local prefix = literal_prefix(tree)
  return function(path)
    if path == pattern then return true end
    if path == "" then return false end
    if path:sub(1, #prefix) ~= prefix then return negated end
    return run(start, scan.codepoints(path), 1, {}) ~= negated
  end
end

---@param pattern string
---@param path string
---@return boolean
function M.match(pattern, path)
  return M.compile(pattern)(path)
end

return M
