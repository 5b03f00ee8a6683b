#include <ctype.h>
#include <string.h>

#include "bind/bind.h"
#include "http/client.h"
#include "http/port.h"

#define RESPONSE "migrator.http.response"

enum { MAX_BYTES = 8 * 1024 * 1024, MAX_FOLLOW = 20 };

static int response_close(lua_State *L) {
  mig_http_response *response = luaL_checkudata(L, 1, RESPONSE);
  mig_buf_free(&response->head);
  mig_buf_free(&response->body);
  return 0;
}

/* Options are read from the table at index 1; texts stay on the stack until the call ends. */

static const char *const option_names[] = {"url",    "method",    "headers",         "body",    "deadline",
                                           "follow", "max_bytes", "connect_timeout", "ca_file", NULL};

static void check_options(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "a number";
    const char *const *at = option_names;
    while (*at && strcmp(*at, name) != 0) at++;
    if (!*at) luaL_error(L, "option '%s' is not known", name);
  }
}

static const char *text_option(lua_State *L, const char *name, size_t *len) {
  int type = lua_getfield(L, 1, name);
  const char *text;
  size_t n;
  if (type == LUA_TNIL) return NULL;
  if (type != LUA_TSTRING) luaL_error(L, "option '%s' must be a string, got %s", name, lua_typename(L, type));
  text = lua_tolstring(L, -1, &n);
  if (!len && strlen(text) != n) luaL_error(L, "option '%s' contains a NUL byte", name);
  if (len) *len = n;
  return text;
}

static lua_Number number_option(lua_State *L, const char *name, lua_Number otherwise, lua_Number most) {
  lua_Number value = otherwise;
  if (lua_getfield(L, 1, name) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER)
      luaL_error(L, "option '%s' must be a number, got %s", name, luaL_typename(L, -1));
    value = lua_tonumber(L, -1);
  }
  if (!(value >= 0 && value <= most)) luaL_error(L, "option '%s' is out of range", name);
  lua_pop(L, 1);
  return value;
}

static int follow_option(lua_State *L) {
  int follow = 0;
  if (lua_getfield(L, 1, "follow") == LUA_TBOOLEAN) {
    follow = lua_toboolean(L, -1) ? 5 : 0;
    lua_pop(L, 1);
    return follow;
  }
  lua_pop(L, 1);
  return (int)number_option(L, "follow", 0, MAX_FOLLOW);
}

/* A token of RFC 9110: nothing in a method or a header's name may end the line it is on. */
static int is_token(const char *text) {
  const char *at = text;
  while (isalnum((unsigned char)*at) || (*at && strchr("!#$%&'*+-.^_`|~", *at))) at++;
  return at > text && !*at;
}

/* Stack: name, value -> the same and the line as libcurl wants it. */
static const char *to_line(lua_State *L) {
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
  const char *value;
  size_t n;
  if (!is_token(name)) luaL_error(L, "option 'headers': bad name '%s'", name);
  if (!lua_isstring(L, -1)) luaL_error(L, "option 'headers': %s must be a string, got %s", name, luaL_typename(L, -1));
  lua_pushvalue(L, -1);
  value = lua_tolstring(L, -1, &n);
  if (strlen(value) != n || strpbrk(value, "\r\n")) luaL_error(L, "option 'headers': bad value of %s", name);
  if (n == 0) {
    lua_pushfstring(L, "%s;", name);
  } else {
    lua_pushfstring(L, "%s: %s", name, value);
  }
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

static const char *const *headers_option(lua_State *L) {
  const char **lines;
  size_t n = 0, at = 0;
  int table = lua_gettop(L) + 1, type = lua_getfield(L, 1, "headers");
  if (type == LUA_TNIL) return NULL;
  if (type != LUA_TTABLE) luaL_error(L, "option 'headers' must be a table, got %s", lua_typename(L, type));
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) n++;
  lines = lua_newuserdatauv(L, (n + 1) * sizeof *lines, 0);
  lua_createtable(L, (int)n, 0); /* keeps the lines alive */
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    lines[at++] = to_line(L);
    lua_rawseti(L, table + 2, (lua_Integer)at);
  }
  lines[at] = NULL;
  return lines;
}

static void check_request(lua_State *L, mig_http_request *request) {
  check_options(L);
  luaL_checkstack(L, 30, "too many options");
  request->url = text_option(L, "url", NULL);
  if (!request->url) luaL_error(L, "option 'url' is missing");
  request->body = text_option(L, "body", &request->body_len);
  request->method = text_option(L, "method", NULL);
  if (!request->method) request->method = request->body ? "POST" : "GET";
  if (!is_token(request->method)) luaL_error(L, "option 'method': bad name '%s'", request->method);
  request->ca_file = text_option(L, "ca_file", NULL);
  request->headers = headers_option(L);
  request->connect_timeout_ms = (long)(number_option(L, "connect_timeout", 0, 1e6) * 1e3);
  request->max_bytes = (size_t)number_option(L, "max_bytes", MAX_BYTES, 1e12);
  request->follow = follow_option(L);
}

/* headers[lower-cased name] = value, from n bytes "Name: value\r\n"; a name that comes again is joined with a comma. */
static void add_header(lua_State *L, const char *line, size_t n) {
  const char *colon = memchr(line, ':', n), *value, *end = line + n;
  luaL_Buffer name;
  if (!colon) return;
  luaL_buffinit(L, &name);
  for (const char *at = line; at < colon; at++) luaL_addchar(&name, (char)tolower((unsigned char)*at));
  luaL_pushresult(&name);
  for (value = colon + 1; value < end && strchr(" \t", *value);) value++;
  while (end > value && strchr(" \t\r\n", end[-1])) end--;
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TSTRING) {
    lua_pushliteral(L, ", ");
    lua_pushlstring(L, value, (size_t)(end - value));
    lua_concat(L, 3);
  } else {
    lua_pop(L, 1);
    lua_pushlstring(L, value, (size_t)(end - value));
  }
  lua_rawset(L, -3);
}

static void push_response(lua_State *L, const mig_http_response *response) {
  const char *at = response->head.data, *end = at ? at + response->head.len : NULL;
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, response->status);
  lua_setfield(L, -2, "status");
  lua_pushlstring(L, response->body.data ? response->body.data : "", response->body.len);
  lua_setfield(L, -2, "body");
  lua_newtable(L);
  while (at < end) {
    const char *line_end = memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)((line_end ? line_end + 1 : end) - at);
    add_header(L, at, n);
    at += n;
  }
  lua_setfield(L, -2, "headers");
}

/* The table of options at index 1 -> the response on the top, or -1 and err. */
static int send_request(lua_State *L, mig_err *err) {
  mig_http_request request = {0};
  mig_deadline deadline;
  mig_http_response *response;
  check_request(L, &request);
  deadline = mig_field_deadline(L, 1, "deadline");
  response = mig_new_box(L, sizeof *response, 0, RESPONSE);
  lua_toclose(L, -1);
  if (mig_http_send(&request, deadline, response, err)) return -1;
  push_response(L, response);
  return 0;
}

/* url, opts? -> one table of options at index 1. */
static void to_options(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 2);
  lua_newtable(L);
  if (!lua_isnil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2);) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, 3);
    }
  }
  lua_pushvalue(L, 1);
  lua_setfield(L, 3, "url");
  lua_replace(L, 1);
  lua_settop(L, 1);
}

static int http_request(lua_State *L) {
  mig_err err;
  lua_settop(L, 1);
  if (send_request(L, &err)) return mig_raise(L, &err);
  return 1;
}

static int http_get(lua_State *L) {
  to_options(L);
  return http_request(L);
}

static int http_try_get(lua_State *L) {
  mig_err err;
  to_options(L);
  if (send_request(L, &err) == 0) return 1;
  if (strcmp(err.code, "interrupted") == 0) return mig_raise(L, &err);
  lua_pushnil(L);
  lua_pushstring(L, err.message);
  return 2;
}

static int http_port_free(lua_State *L) {
  lua_Integer port = luaL_checkinteger(L, 1);
  const char *host = lua_isnoneornil(L, 2) ? NULL : mig_check_cstring(L, 2);
  int is_free;
  mig_err err;
  luaL_argcheck(L, port > 0 && port < 65536, 1, "not a port");
  if (mig_port_free((int)port, host, &is_free, &err)) return mig_raise(L, &err);
  lua_pushboolean(L, is_free);
  return 1;
}

static int http_find_port(lua_State *L) {
  int port;
  mig_err err;
  if (mig_port_find(&port, &err)) return mig_raise(L, &err);
  lua_pushinteger(L, port);
  return 1;
}

static const luaL_Reg functions[] = {{"request", http_request},     {"get", http_get},
                                     {"try_get", http_try_get},     {"port_free", http_port_free},
                                     {"find_port", http_find_port}, {NULL, NULL}};

int luaopen_migrator_core_http(lua_State *L) {
  mig_new_type(L, RESPONSE, NULL, response_close);
  luaL_newlib(L, functions);
  return 1;
}
