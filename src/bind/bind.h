/* What the bindings share. A binding is one Lua module over drivers: arguments are checked first, then a box is made,
 * then the thing is acquired into the box, so that an error at any point finds somebody who owns it. */
#ifndef MIG_BIND_H
#define MIG_BIND_H

#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"

#define MIG_ERROR "migrator.error"

/* error.c: turns err into the typed error table and raises it. An `interrupted` err takes the pending signal. */
int mig_raise(lua_State *L, const mig_err *err);
void mig_push_error(lua_State *L, const mig_err *err);

/* error.c: a deadline is a number, absolute seconds of clock.now(); none or nil is MIG_NEVER. */
mig_deadline mig_check_deadline(lua_State *L, int arg);
mig_deadline mig_field_deadline(lua_State *L, int table, const char *field);

/* error.c: a string argument that C will read up to its NUL; one inside it is an argument error. */
const char *mig_check_cstring(lua_State *L, int arg);

/* error.c: a typed box of size zeroed bytes with user_values slots. Boxes are counted from here to their collection. */
void *mig_new_box(lua_State *L, size_t size, int user_values, const char *type);
int mig_boxes_live(void);

/* error.c: makes a metatable whose __gc and __close both run `close`, which is idempotent; the stack stays as it was.
 */
void mig_new_type(lua_State *L, const char *type, const luaL_Reg *methods, lua_CFunction close);

/* later.c: is a thread still opening a session? */
int mig_later_busy(void);

/* folder.c, of the module `hash`. */
int mig_hash_folder(lua_State *L);
void mig_folder_open(lua_State *L);

int luaopen_migrator_core_clock(lua_State *L);
int luaopen_migrator_core_db(lua_State *L);
int luaopen_migrator_core_fs(lua_State *L);
int luaopen_migrator_core_hash(lua_State *L);
int luaopen_migrator_core_host(lua_State *L);
int luaopen_migrator_core_http(lua_State *L);
int luaopen_migrator_core_process(lua_State *L);
int luaopen_migrator_core_sql(lua_State *L);

#endif
