/* Asking the server to stop the statement that runs in a session. */
#ifndef MIG_PG_CANCEL_H
#define MIG_PG_CANCEL_H

#include "pg/conn.h"

/* libpq's PQcancel blocks, for ever when the network is gone: it runs in a child of ours that is given until deadline.
 */
int mig_pg_cancel(mig_pg *pg, mig_deadline deadline, mig_err *err);

#endif
