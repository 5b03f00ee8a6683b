/* One run: a Lua state with the core modules, the program in it, and the exit code that it returns. */
#ifndef MIG_HOST_H
#define MIG_HOST_H

#include <lua.h>

#include "base/clock.h"

_Noreturn void mig_host_main(int argc, char **argv); /* mig_run as all that a process does: ends it */
void mig_host_limit(lua_State *L,
                    mig_deadline deadline); /* Lua code running beyond it is stopped; MIG_NEVER lifts it */

#endif
