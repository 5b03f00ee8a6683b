#include "pg/alive.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Unanswered in a row: one packet lost after a pause is no silence. The distance between them doubles; probes of a
 * closed window may be minutes apart before the first gets no answer. */
enum { RETRANSMITS = 6, PROBES = 3 };

int mig_is_silent(int fd) {
  struct tcp_info info = {0};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size)) return 0;
  return (info.tcpi_retransmits >= RETRANSMITS || info.tcpi_probes >= PROBES) &&
         info.tcpi_last_ack_recv > MIG_SILENCE_MS;
}
