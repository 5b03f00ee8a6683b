#include "hash/digest.h"

#include <stdio.h>

#include "bind/bind.h"
#include "hash/sign.h"

static int hash_digest(lua_State *L) {
  const char *name = mig_check_cstring(L, 1);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  char hex[MIG_DIGEST_HEX];
  mig_err err;
  if (mig_digest(name, data, n, hex, &err)) return mig_raise(L, &err);
  lua_pushstring(L, hex);
  return 1;
}

static int hash_sha256(lua_State *L) {
  lua_settop(L, 1);
  lua_pushliteral(L, "sha256");
  lua_insert(L, 1);
  return hash_digest(L);
}

static int hash_random_hex(lua_State *L) {
  lua_Integer n = luaL_optinteger(L, 1, 16);
  unsigned char bytes[256];
  luaL_Buffer buffer;
  mig_err err;
  luaL_argcheck(L, n > 0 && n <= (lua_Integer)sizeof bytes, 1, "1 to 256 bytes");
  if (mig_random(bytes, (size_t)n, &err)) return mig_raise(L, &err);
  luaL_buffinit(L, &buffer);
  for (lua_Integer i = 0; i < n; i++) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", bytes[i]);
    luaL_addlstring(&buffer, digits, 2);
  }
  luaL_pushresult(&buffer);
  return 1;
}

static int hash_sign_rs256(lua_State *L) {
  const char *pem = mig_check_cstring(L, 1);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  mig_signature signature;
  mig_err err;
  if (mig_sign_rs256(pem, data, n, &signature, &err)) return mig_raise(L, &err);
  lua_pushlstring(L, (const char *)signature.bytes, signature.len);
  return 1;
}

static const luaL_Reg functions[] = {{"digest", hash_digest},         {"sha256", hash_sha256},
                                     {"random_hex", hash_random_hex}, {"sign_rs256", hash_sign_rs256},
                                     {"folder", mig_hash_folder},     {NULL, NULL}};

int luaopen_migrator_core_hash(lua_State *L) {
  mig_folder_open(L);
  luaL_newlib(L, functions);
  return 1;
}
