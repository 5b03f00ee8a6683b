/* Ports of this machine. */
#ifndef MIG_PORT_H
#define MIG_PORT_H

#include "base/err.h"

/* 1 when nobody listens on port, 0 when somebody does. host is a numeric address; NULL means both loopbacks, because
 * `localhost` may be either. */
int mig_port_free(int port, const char *host, int *is_free, mig_err *err) MIG_MUSTCHECK;

/* A port that is free on both loopbacks now. Somebody else may take it before you do. */
int mig_port_find(int *port, mig_err *err) MIG_MUSTCHECK;

#endif
