local clock = require "migrator.core.clock"
local errors = require "migrator.error"
local http = require "migrator.core.http"
local process = require "migrator.core.process"

-- One connection of a server: reads a request from stdin, answers by its path.
local HANDLER = [==[
cr=$(printf '\r')
read -r method path rest
while read -r line; do
  line=${line%$cr}
  [ -z "$line" ] && break
  case $line in [Cc]ontent-[Ll]ength:*) length=${line#*: };; esac
  seen="$seen$line
"
done
answer() { printf 'HTTP/1.1 %s\r\nContent-Length: %s\r\nConnection: close\r\n%b\r\n' "$1" "$3" "$4"; printf %s "$2"; }
case $path in
  /echo*) body=$([ "$length" ] && head -c "$length")
    text="$method $path
$seen
$body"
    answer '200 OK' "$text" "${#text}" 'X-Thing: one\r\nx-thing:  two  \r\nEmpty:\r\n' ;;
  /missing) answer '404 Not Found' gone 4 ;;
  /moved) answer '302 Found' '' 0 'Location: /echo/moved\r\n' ;;
  /loop) answer '302 Found' '' 0 'Location: /loop\r\n' ;;
  /file) answer '302 Found' '' 0 'Location: file:///etc/passwd\r\n' ;;
  /slow) sleep 20 ;;
  /drip) printf 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'; while :; do printf x; sleep 0.05; done ;;
  /big) printf 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'; head -c 300000 /dev/zero ;;
  /short) printf 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort' ;;
  /junk) printf 'SSH-2.0-OpenSSH\r\n' ;;
esac
]==]

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

describe("http.find_port", function()
  it("gives none that the system could give to an outgoing connection", function()
    local file = io.open "/proc/sys/net/ipv4/ip_local_port_range"
    local first = file and math.tointeger(file:read "n") or 32768
    if file then file:close() end
    if first < 11000 then return pending "needs ports below those of outgoing connections" end
    for _ = 1, 50 do
      local port = http.find_port()
      assert.is_true(port >= 10000 and port < first and http.port_free(port))
    end
  end)
end)

describe("http", function()
  local port, server, base, dir

  local function need_server()
    if server then return true end
    pending("needs socat")
  end

  setup(function()
    dir = process.run { cmd = { "mktemp", "-d" } }.stdout:gsub("\n", "")
    port = http.find_port()
    base = "http://127.0.0.1:" .. port
    if not process.find "socat" then return end
    local file = assert(io.open(dir .. "/handler.sh", "w"))
    file:write(HANDLER)
    file:close()
    server = process.start {
      cmd = {
        "socat", ("TCP-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork"):format(port), ("EXEC:sh %s/handler.sh"):format(dir),
      },
    }
    local deadline = clock.deadline(10)
    while not http.try_get(base .. "/echo") and clock.now() < deadline do clock.sleep(0.02) end
  end)

  teardown(function()
    if server then server:stop() end
    process.run { cmd = { "rm", "-rf", dir } }
  end)

  describe("request", function()
    it("sends method, headers and body, and reads status, headers and body", function()
      if not need_server() then return end
      local answer = http.request {
        url = base .. "/echo?q=1", method = "PUT", body = "a\nb",
        headers = { ["X-One"] = "1", ["X-Empty"] = "", Number = 7 },
      }
      assert.equal(200, answer.status)
      assert.matches("^PUT /echo%?q=1\n", answer.body)
      assert.matches("\nX%-One: 1\n", answer.body)
      assert.matches("\nX%-Empty:", answer.body)
      assert.matches("\nNumber: 7\n", answer.body)
      assert.matches("\n\na\nb$", answer.body)
      assert.is_nil(answer.body:find("urlencoded", 1, true))
      assert.equal("one, two", answer.headers["x-thing"])
      assert.equal("", answer.headers.empty)
    end)

    it("posts a body by default, an empty one too", function()
      if not need_server() then return end
      assert.matches("^POST .*Content%-Length: 0", http.request({ url = base .. "/echo", body = "" }).body)
      assert.matches("^POST .*\n\nx=1$", http.request({ url = base .. "/echo", body = "x=1" }).body)
      assert.matches("^DELETE ", http.request({ url = base .. "/echo", method = "DELETE" }).body)
      assert.equal("", http.request({ url = base .. "/echo", method = "HEAD" }).body)
    end)

    it("answers any status", function()
      if not need_server() then return end
      local answer = http.get(base .. "/missing")
      assert.same({ 404, "gone" }, { answer.status, answer.body })
    end)

    it("follows redirects only when told, and never to a file", function()
      if not need_server() then return end
      assert.equal(302, http.get(base .. "/moved").status)
      assert.equal("/echo/moved", http.get(base .. "/moved").headers.location)
      local moved = http.get(base .. "/moved", { follow = true })
      assert.equal(200, moved.status)
      assert.is_nil(moved.headers.location)
      assert.is_true(errors.is(raised(http.get, base .. "/loop", { follow = 3 }), "http"))
      assert.is_true(errors.is(raised(http.get, base .. "/file", { follow = true }), "http"))
    end)

    it("raises http when the answer is larger than max_bytes", function()
      if not need_server() then return end
      assert.equal(300000, #http.get(base .. "/big").body)
      assert.matches("larger than 1000 bytes", raised(http.get, base .. "/big", { max_bytes = 1000 }).message)
    end)

    it("raises http for a broken answer", function()
      if not need_server() then return end
      for _, path in ipairs { "/short", "/junk", "/none" } do
        assert.is_true(errors.is(raised(http.get, base .. path), "http"))
      end
    end)

    it("raises timeout at the deadline, whether nothing comes or too little", function()
      if not need_server() then return end
      for _, path in ipairs { "/slow", "/drip" } do
        local before = clock.now()
        assert.is_true(errors.is(raised(http.get, base .. path, { deadline = clock.deadline(0.2) }), "timeout"))
        assert.is_true(clock.now() - before < 1)
      end
    end)

    it("does not ask a loopback host through a proxy from the environment", function()
      local host = os.getenv "MIGRATOR" or "build/migrator"
      if not need_server() then return end
      if not process.find(host) then return pending("needs the program " .. host) end
      local script = assert(io.open(dir .. "/loopback.lua", "w"))
      script:write('local http = http or require "migrator.core.http"\n')
      script:write(('print(http.get("%s/missing").status)\n'):format(base))
      script:close()
      local ran = process.run {
        cmd = { process.find(host), dir .. "/loopback.lua" },
        env = { http_proxy = "http://127.0.0.1:1", all_proxy = "http://127.0.0.1:1", no_proxy = false },
      }
      assert.matches("404", ran.stdout)
    end)

    it("raises http without the URL's secrets when nobody answers", function()
      local closed = http.find_port()
      local err = raised(http.get, ("http://me:hunter2@127.0.0.1:%d/x?token=hunter2"):format(closed))
      assert.is_true(errors.is(err, "http"))
      assert.matches("^GET http://127.0.0.1:" .. closed .. "/x: ", err.message)
      assert.is_nil(err.message:find("hunter2", 1, true))
    end)

    it("refuses other schemes, bad URLs, and lines inside headers", function()
      assert.matches("only http and https", raised(http.get, "file:///etc/passwd").message)
      assert.matches("only http and https", raised(http.get, "ftp://127.0.0.1/").message)
      assert.matches("cannot read the URL", raised(http.get, "http://").message)
      assert.matches("bad value", raised(http.get, base, { headers = { A = "b\r\nC: d" } }))
      assert.matches("bad name", raised(http.get, base, { headers = { ["A b"] = "c" } }))
      assert.matches("bad name", raised(http.get, base, { method = "GET /x HTTP/1.1\r\n" }))
      assert.matches("'metod' is not known", raised(http.get, base, { metod = "GET" }))
      assert.matches("'url' is missing", raised(http.request, {}))
    end)
  end)

  describe("try_get", function()
    it("answers nil and why (R68)", function()
      local answer, why = http.try_get("http://127.0.0.1:" .. http.find_port() .. "/readiness")
      assert.is_nil(answer)
      assert.matches("^GET http://127.0.0.1:%d+/readiness: ", why)
    end)
  end)

  describe("port_free", function()
    it("tells a listener on either loopback from a free port (R72)", function()
      if not need_server() then return end
      assert.is_false(http.port_free(port))
      assert.is_false(http.port_free(port, "127.0.0.1"))
      local free = http.find_port()
      assert.is_true(http.port_free(free))
      assert.is_true(http.port_free(free)) -- looking does not take it
    end)

    it("refuses what is not a port or an address", function()
      assert.has_error(function() http.port_free(0) end)
      assert.has_error(function() http.port_free(65536) end)
      assert.is_true(errors.is(raised(http.port_free, 5432, "localhost"), "http"))
    end)
  end)
end)
