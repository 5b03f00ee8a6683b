"""Answers on loopback as other people's services do, for specs: Vault's KV engine, OAuth's token endpoint (which checks
the signature of a key's request with openssl), an STS and an IAM that answer what was asked for, and a server that is
busy at first. `cloud.py PORT FOLDER`: FOLDER/sts.json and FOLDER/iam.json hold answers to give, FOLDER/public.pem a key."""
import base64, email.utils, json, os, subprocess, sys, time, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
KV = {"app/db": {1: {"url": "postgresql://old@h/d"}, 3: {"url": "postgresql://u:v4ultpass@h/d", "n": 5}}, "gone": {}}
COUNT, LOG = {}, []


def scripted(name, otherwise):
    path = os.path.join(FOLDER, name)
    if not os.path.exists(path):
        return otherwise
    with open(path) as file:
        said = json.load(file)
    return said["status"], said["body"], said.get("headers", {})


def verify(jwt):
    head, claims, signature = jwt.split(".")
    pad = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    with open(os.path.join(FOLDER, "signature"), "wb") as file:
        file.write(pad(signature))
    done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", os.path.join(FOLDER, "public.pem"), "-signature",
                           os.path.join(FOLDER, "signature")], input=(head + "." + claims).encode(),
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0 and json.loads(pad(claims))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        shift = scripted("clock.json", (0, 0, {}))[1]
        return email.utils.formatdate(time.time() + shift, usegmt=True)

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def answer(self, method):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        split = urllib.parse.urlsplit(self.path)
        if split.path != "/log":
            LOG.append({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body})
        status, value, headers = self.route(split.path, dict(urllib.parse.parse_qsl(split.query)),
                                            dict(urllib.parse.parse_qsl(body)))
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def route(self, path, query, form):
        if path == "/log":
            return 200, LOG, {}
        if path.startswith("/busy/"):
            COUNT[path] = COUNT.get(path, 0) + 1
            return (503, "busy", {"Retry-After": "0"}) if COUNT[path] < 3 else (200, {"tries": COUNT[path]}, {})
        if path == "/token":
            return self.oauth(form)
        if path == "/v1/token":
            return scripted("sts.json", (200, {"access_token": "federated-token", "expires_in": 3600}, {}))
        if path.endswith(":generateAccessToken"):
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3300))
            return scripted("iam.json", (200, {"accessToken": "account-token-1", "expireTime": ends}, {}))
        if path.endswith(":access"):
            return scripted("secret.json", (404, "", {}))
        if path == "/subject":
            return 200, {"value": "subject-of-url"}, {}
        if path.startswith("/v1/kv/data/"):
            return self.vault(path[len("/v1/kv/data/"):], query)
        return 404, {"errors": []}, {}

    def oauth(self, form):
        if form.get("grant_type") == "refresh_token":
            if form.get("refresh_token") != "good-refresh-token":
                return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, {}
            return 200, {"access_token": "user-token-1", "expires_in": 3599, "token_type": "Bearer"}, {}
        claims = verify(form.get("assertion", ".."))
        if not claims:
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, {}
        if abs(claims["iat"] - time.time()) > 60 or claims["exp"] - claims["iat"] != 3600:
            return 400, {"error": "invalid_grant", "error_description": "Check your iat and exp values"}, {}
        return 200, {"access_token": "key-token-for-" + claims["iss"], "expires_in": 3599}, {}

    def vault(self, name, query):
        if self.headers.get("X-Vault-Token") != "hvs.good-token":
            return 403, {"errors": ["permission denied"]}, {}
        versions = KV.get(name)
        if versions is None:
            return 404, {"errors": []}, {}
        number = int(query.get("version") or 0) or max(versions, default=2)
        metadata = {"version": number, "destroyed": number == 2, "deletion_time": ""}
        if number not in versions:
            return 404, {"data": {"data": None, "metadata": metadata}}, {}
        return 200, {"data": {"data": versions[number], "metadata": metadata}}, {}


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
