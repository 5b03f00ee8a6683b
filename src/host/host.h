/* One run: a Lua state with the core modules, the program in it, and the exit code that it returns. */
#ifndef MIG_HOST_H
#define MIG_HOST_H

#include <lua.h>

#include "base/clock.h"

int mig_host_run_last(int argc, char **argv); /* mig_run as the last thing that the process does */
_Noreturn void mig_host_exit(int code);       /* behind it */
void mig_host_limit(lua_State *L,
                    mig_deadline deadline); /* Lua code running beyond it is stopped; MIG_NEVER lifts it */

#endif
