/* libpq's words -> mig_err. */
#ifndef MIG_PG_DIAG_H
#define MIG_PG_DIAG_H

#include <libpq-fe.h>

#include "base/err.h"

int mig_diag_result(const PGresult *result, mig_err *err); /* `sql`, `lock` for 55P03, `interrupted` is the caller's */
int mig_diag_connect(const PGconn *conn, mig_err *err);    /* `connect`: a session that could not be had */
int mig_diag_lost(const PGconn *conn, mig_err *err);       /* `connect`: a session that is gone */

#endif
