/* The engine for embedders. No state survives a call; mig_run may be called again. */
#ifndef MIGRATOR_H
#define MIGRATOR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Does what the command line argv[0..argc-1] says and returns the exit code (README, "Exit codes").
 * SIGINT, SIGTERM, SIGHUP and SIGPIPE are handled by it while it runs and given back afterwards. */
int mig_run(int argc, char **argv);

const char *mig_version(void); /* "1.2.3", static */

#ifdef __cplusplus
}
#endif

#endif
