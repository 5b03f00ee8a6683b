local cjson = require("cjson").new()
local sql = require "migrator.core.sql"

cjson.decode_max_depth(100000)

local function texts(text)
  local found = {}
  for i, s in ipairs(sql.split(text)) do found[i] = s.text end
  return found
end

local function words(text)
  local found = {}
  for i, s in ipairs(sql.split(text)) do found[i] = s.words end
  return found
end

local function problem(text)
  local found = sql.split(text).problem
  return found and { found.kind, found.line, found.offset }
end

-- What is left of a text that may hold blanks and comments only; written apart from the scanner that it checks.
local function without_space(text)
  local before
  repeat
    before = text
    text = text:gsub("^%s+", ""):gsub("^%-%-[^\r\n]*", "")
    if text:sub(1, 2) == "/*" then
      local depth, at = 1, 3
      while depth > 0 do
        local place, mark = text:match("()([/*][*/])", at)
        if not place then return text end
        local step = mark == "/*" and 1 or mark == "*/" and -1 or 0
        depth, at = depth + step, place + (step == 0 and 1 or 2)
      end
      text = text:sub(at)
    end
  until text == before
  return text
end

-- nil when both agree or the parser refuses the text; else what differs.
local function disagreement(text)
  local json = not text:find("\0", 1, true) and sql.parse_json(text)
  if not json then return nil, false end
  local trees, ours = cjson.decode(json).stmts, sql.split(text)
  if ours.problem then return "problem: " .. ours.problem.kind, true end
  if #trees ~= #ours then return ("%d statements, the parser has %d"):format(#ours, #trees), true end
  for i, tree in ipairs(trees) do
    local first = (tree.stmt_location or 0) + 1
    local last = (tree.stmt_len or 0) > 0 and first + tree.stmt_len - 1 or #text
    local from, to = ours[i].offset, ours[i].offset + #ours[i].text - 1
    assert(text:sub(from, to) == ours[i].text)
    if from < first or to > last then
      return ("statement %d: %d..%d, the parser has %d..%d"):format(i, from, to, first, last), true
    end
    if without_space(text:sub(first, from - 1)) ~= "" or without_space(text:sub(to + 1, last)) ~= "" then
      return ("statement %d leaves out more than blanks"):format(i), true
    end
    if without_space(text:sub(from, to)) ~= text:sub(from, to) then
      return ("statement %d begins with a comment"):format(i), true
    end
  end
  return nil, true
end

local tricky = {
  "create function f() returns int begin atomic select 1 end; select t.a case; select 2 case, 3 end; end; select 3",
  "", ";", ";;;", " \t\f\r\n", "-- only\n", "-- no newline", "/* a /* nested */ ; */", "--\r select 1; select 2",
  "select 1", "select 1;", "; select 1 ;; select 2;", "select 1 -- ; not\n; select 2 /* ; */",
  "select/**/1;/**/select--\n2", "select ';'; select 'it''s;'; select ''; select '''';", "select '\\'; select 2",
  "select E'\\'; '; select 2", "select E'\\\\'; select E'a''b;\\''", "select E'a'\n'b\\'; c'; select 2",
  "select E'a' \r '\\';'; select 2", "select 'a'\n'b;'; select 2", "select e'\\u0041;\\x41\\101'; select 2",
  "select U&'\\0041;''' ; select u&\"d\\0061;\"\"\"; select U & 1 from t",
  "select B'01', X'1F', N'a;b', b'', x'', n''';'; select 2", 'select ";", "a"";b" from "t;"; select 2',
  "select $$;$$; select $a$;$b$;$$;$a$; select $_1$;$_1$", "select $é$;$é$; select $É$é$é;$É$; select 2",
  "select a$b$c, a$$ from t; select 2 as x$y$; select 3", "select $1; select $1 + $2;",
  "select $a$$b$a$; select $a$ $a $a$", "select $$ $ $$; select $b$ $$ ; $b$",
  "select 1e5; select 1.5e-3, .5, 1., 1.e+2; select 2",
  "select a[1:2], b::text, c.d from c; select 1 <> 2, 1 /*x*/ + 2, 3 */* ; */ 4",
  "select 2 *-- ;\n 3; select - - 1, @-1, 4 - -5",
  "create rule r as on insert to t do (select 1; select 2;); select 3",
  "create rule r as on delete to t do instead nothing; select 1", "begin; select 1; end; begin transaction; commit",
  "select case when a then 1 else 2 end; select 1",
  "create function f() returns int begin atomic select 1; select 2; end; select 3",
  "create or replace procedure p() begin /* ; */ atomic insert into t values (1); end; select 3",
  "create procedure p() begin atomic end; select 1",
  "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC ; ; SELECT 1;END ; select 2",
  "create function f() returns int begin atomic select case when a then case b when 1 then 2 end end from t;"
    .. " select (case when 1=1 then 2 end); end; select 3",
  "create function f() returns int begin atomic select t.end, t.case, 1 as end, 2 as case from t; end; select 3",
  "create function f() returns int return case when true then 1 end; select 1",
  "create function f() returns int begin atomic select begin from t; end; select 3",
  "create function begin() returns int language sql as 'select 1'; select 2",
  "create function s.begin(begin int) returns int language sql as 'x'; select 2",
  "create function f() returns int language sql as $$ begin; end; $$; select 1",
  "create table begin (atomic int); select atomic from begin; select 2",
  "create function f() returns trigger as $f$ begin if a then b; end if; end $f$ language plpgsql;"
    .. " create trigger g before insert on t execute function f()",
  "do $$ begin perform 1; end $$; do 'begin null; end'; select 1", "select 'é', \"ü\", ñ from t; select '日本;語'",
  "select '\xff;\xfe' ; select \xe9 from t", "select 1 as \"--\"; select '/*'; select 2 as \"*/\"",
  "select/*/ ; */1; select/***/2; select/**//**/3", "comment on table t is 'a;\n--\n/*'; select 1",
  "copy t from stdin; select 1", "grant select on t to \"a;b\"; revoke all on t from public",
  "values (1, 'a;'), (2, ';b'); table t",
  "create view v as select 1; with x as (select ';') select * from x; select 2",
  "alter type e add value 'x;y'; create type c as enum ('a;', 'b')",
}

describe("sql.split", function()
  it("returns nothing for blanks and comments alone", function()
    for _, text in ipairs { "", " \n", ";", "-- a", "/* a; /* b; */ ; */ ; -- c\n" } do
      assert.same({}, sql.split(text))
    end
  end)

  it("gives place, text and line of each statement without its comments", function()
    assert.same({
      { offset = 6, text = "select\n 1", line = 2, words = "SELECT" },
      { offset = 27, text = "drop", line = 6, words = "DROP" },
    }, sql.split("-- a\nselect\n 1 -- b\n; \n\n  drop /* c */"))
  end)

  it("cuts where psql cuts", function()
    assert.same({ "select ';'", "select 2" }, texts("select ';' -- ;\n; select 2"))
    assert.same({ "select E'a' -- \\\n'\\';'", "select 2" }, texts("select E'a' -- \\\n'\\';'; select 2"))
    assert.same({ "do $a$;$$;$a$", "select a$b$, 1", "select $1" }, texts("do $a$;$$;$a$; select a$b$, 1; select $1"))
    assert.same({ "create rule r as on i to t do (a; b)", "c" }, texts("create rule r as on i to t do (a; b); c"))
    assert.same({ "select 1)", "select 2" }, texts("select 1); select 2"))
  end)

  it("keeps a BEGIN ATOMIC body whole, and only that", function()
    local body = "create or replace function f() returns int begin atomic select 1; select case when a then 2 end; end"
    assert.same({ body, "select 3" }, texts(body .. ";\nselect 3;"))
    body = "create function f() returns int begin atomic select a end, 1 as end; select t.end case; select 2 end; end"
    assert.same({ body, "end" }, texts(body .. "; end"))
    assert.same({ "begin", "select 1", "end" }, texts("begin; select 1; end;"))
    assert.same({ "create function begin() as 'x'", "select 1" }, texts("create function begin() as 'x'; select 1"))
  end)

  it("names the leading words, upper-cased, up to the first token that is none", function()
    assert.same({ "CREATE INDEX CONCURRENTLY", "ALTER TABLE \" ADD", "INSERT INTO S", "SELECT", "", "\"" },
      words("create Index /* x */ concurrently ('a'); alter table \"a b\" add (b); insert into s.t;"
        .. "select B'0' x; (select 1); U&\"a\" 1"))
    assert.same({ "A B C D E F G H I J K L" }, words "a b c d e f g h i j k l m n")
    assert.same({ "É$1 X" }, words "É$1 x")
  end)

  it("names what is never closed, and reaches to the end", function()
    assert.same({ "quote", 2, 18 }, problem "select 1;\nselect 'a; b")
    assert.same({ "select 'a; b" }, texts "select 'a; b")
    assert.same({ "quote", 1, 8 }, problem 'select "a; b')
    assert.same({ "quote", 1, 8 }, problem "select E'a\\'; b")
    assert.same({ "dollar quote", 1, 8 }, problem "select $a$ $b$ ; $$")
    assert.same({ "comment", 2, 10 }, problem "select 1\n/* a /* b */ ;")
    assert.same({ "parenthesis", 1, 8 }, problem "select ((1); select 2")
    assert.same({ "body", 2, 23 }, problem "create procedure p()\n begin atomic select 1; select 2;")
    assert.is_nil(problem "select (1), '', $$ $$ /* */ -- '")
  end)

  it("sends a comment that is never closed, for the server to refuse", function()
    assert.same({ "select 1", "/* a; b" }, texts "select 1; /* a; b")
  end)

  it("reports a psql command and takes its line out", function()
    assert.same({ "meta-command", 2, 11 }, problem "select 1;\n\\set x ';'\nselect 2; \\q")
    assert.same({ "select 1", "select 2" }, texts "select 1;\n\\set x ';\nselect 2;")
    assert.same({ "meta-command", 1, 10 }, problem "select 1 \\; select 2")
    assert.same({ "meta-command", 3, 26 }, problem "copy t from stdin;\n1\t'a'\n\\.\n")
    assert.is_nil(problem "select '\\', E'\\\\', $$\\$$, \"\\\" -- \\")
  end)

  it("reports the first problem only", function()
    assert.same({ "meta-command", 1, 10 }, problem "select ( \\x\n 'a")
    assert.same({ "quote", 1, 10 }, problem "select (\t'a")
  end)

  it("takes any bytes", function()
    assert.same({ "select '\0;'", "\0", "\xff\xfe" }, texts "select '\0;'; \0; \xff\xfe")
    local all = {}
    for byte = 0, 255 do all[#all + 1] = string.char(byte) end
    assert.is_table(sql.split(table.concat(all)))
  end)

  it("is linear in the worst texts", function()
    local n = 200000
    for _, unit in ipairs { "(", "$a", "/*", "E'' ", "E''--\n", "$a$b", "$a$b$", "'", "1e", "u&", "e'\\", "\\;" } do
      local before = os.clock()
      sql.split(unit:rep(n))
      assert.is_true(os.clock() - before < 1, unit)
    end
  end)

  it("raises on anything but a string", function()
    assert.has_error(function() sql.split({}) end)
    assert.has_error(function() sql.split() end)
  end)
end)

describe("sql.split and PostgreSQL's parser", function()
  local function check(text, name)
    local differs, parsed = disagreement(text)
    assert.is_nil(differs, ("%s: %s"):format(name, differs))
    return parsed and 1 or 0
  end

  local function check_folder(folder)
    local parsed, total = 0, 0
    local list = assert(io.popen("find '" .. folder:gsub("'", "'\\''") .. "' -name '*.sql' -type f 2>/dev/null | sort"))
    for path in list:lines() do
      local file = assert(io.open(path, "rb"))
      local text = file:read("a") .. "--> statement-breakpoint"
      file:close()
      for piece in text:gmatch("(.-)%-%-> statement%-breakpoint") do
        parsed, total = parsed + check(piece, path), total + 1
      end
    end
    list:close()
    return parsed, total
  end

  it("agree on tricky texts", function()
    for _, text in ipairs(tricky) do assert.equal(1, check(text, text), "refused: " .. text) end
  end)

  it("agree on each two tricky texts in a row", function()
    for _, first in ipairs(tricky) do
      for _, second in ipairs(tricky) do check(first .. "\n;" .. second, first .. "\n;" .. second) end
    end
  end)

  it("agree on the fixtures", function() check_folder("spec/fixtures") end)

  it("agree on the corpus", function()
    local shared = os.getenv("MIGRATOR_SHARED")
    if not shared then return pending("needs MIGRATOR_SHARED") end
    local parsed, total = check_folder(shared .. "/corpus")
    assert.is_true(parsed > 1000 and parsed > total * 0.9, ("%d of %d pieces parsed"):format(parsed, total))
  end)
end)
