/* CSV files: their bytes into a COPY, and the place in them that the server means by a line number. */
#ifndef MIG_PG_COPYFILE_H
#define MIG_PG_COPYFILE_H

#include "pg/copy.h"

/* Sends what fd gives until its end, without a byte order mark. A line that is only `\.` ends a COPY in servers before
 * 18, quoted or not, and the rows behind it would be lost without a word: it is refused (`usage`), with its *line. */
int mig_copy_file(mig_pg *pg, int fd, mig_deadline deadline, long long *line, mig_err *err) MIG_MUSTCHECK;

typedef struct mig_csv_place {
  int header;            /* in: the first record is none of the rows */
  long long server_line; /* in: as in CONTEXT "COPY t, line N", or 0: look for row */
  long long row;         /* in and out: from 1; 0 is the header, or not found */
  long long line;        /* out: the first line of that record in the file, from 1 */
} mig_csv_place;

int mig_csv_locate(int fd, mig_csv_place *place, mig_err *err) MIG_MUSTCHECK;

#endif
