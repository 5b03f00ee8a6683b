/* Is anybody at the other end? TCP_USER_TIMEOUT would ask more cheaply, but it also ends a session whose server is
 * busy: while a long statement runs, the statements piled up behind it close the receive window. */
#ifndef MIG_PG_ALIVE_H
#define MIG_PG_ALIVE_H

enum { MIG_SILENCE_MS = 60000 };

/* Has the other end acknowledged nothing for that long, although it was asked again and again? Never for a local
 * socket. */
int mig_is_silent(int fd);

#endif
