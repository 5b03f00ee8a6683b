/* One run: a Lua state with the core modules, the program in it, and the exit code that it returns. */
#ifndef MIG_HOST_H
#define MIG_HOST_H

int mig_host_run(int argc, char **argv);

#endif
