#include "pg/copyfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAIL = 4, FIRST_WITHOUT_MARKER = 180000 };

static int read_some(int fd, char *to, size_t *n, mig_err *err) {
  ssize_t got;
  do {
    got = read(fd, to, MIG_COPY_CHUNK);
  } while (got < 0 && errno == EINTR);
  *n = got > 0 ? (size_t)got : 0;
  return got < 0 ? mig_err_errno(err, "usage", errno, "read") : 0;
}

static int is_line_end(char c) { return c == '\n' || c == '\r'; }

/* The offset of `\.` alone on its line, or -1. `at_end`: nothing follows; else a last `\.` may still go on. */
static long find_marker(const char *text, size_t n, int at_start, int at_end) {
  const char *at = text, *end = text + n;
  while (at < end && (at = memchr(at, '\\', (size_t)(end - at)))) {
    int begins = at == text ? at_start : is_line_end(at[-1]);
    if (begins && end - at > 1 && at[1] == '.' && (end - at == 2 ? at_end : is_line_end(at[2])))
      return (long)(at - text);
    at++;
  }
  return -1;
}

static int refuse_marker(int fd, long long offset, long long *line, mig_err *err) {
  char text[4096];
  ssize_t got;
  *line = 1;
  for (long long at = 0; at < offset; at += got) {
    size_t want = offset - at < (long long)sizeof text ? (size_t)(offset - at) : sizeof text;
    got = pread(fd, text, want, (off_t)at);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; i++) *line += text[i] == '\n';
  }
  return mig_err_set(err, "usage", "a line that is only \\. would end the COPY, and the rows behind it would be lost");
}

/* Each piece is looked at together with the last bytes of the one before it. */
int mig_copy_file(mig_pg *pg, int fd, mig_deadline deadline, long long *line, mig_err *err) {
  int has_marker = PQserverVersion(pg->conn) < FIRST_WITHOUT_MARKER, failed = -1;
  char *text = malloc(TAIL + MIG_COPY_CHUNK), *piece;
  size_t n, kept = 0;
  long long offset = 0;
  *line = 0;
  if (!text) return mig_err_set(err, "internal", "out of memory");
  do {
    long marker;
    piece = text + kept;
    if (read_some(fd, piece, &n, err)) goto done;
    marker = has_marker ? find_marker(text, kept + n, offset == (long long)kept, n == 0) : -1;
    if (marker >= 0) {
      refuse_marker(fd, offset - (long long)kept + marker, line, err);
      goto done;
    }
    if (offset == 0 && n >= 3 && memcmp(piece, "\xEF\xBB\xBF", 3) == 0) {
      if (mig_copy_put(pg, piece + 3, n - 3, deadline, err)) goto done;
    } else if (mig_copy_put(pg, piece, n, deadline, err)) {
      goto done;
    }
    offset += (long long)n;
    kept = kept + n < TAIL ? kept + n : TAIL;
    memmove(text, piece + n - kept, kept);
  } while (n > 0);
  failed = 0;
done:
  free(text);
  return failed;
}

/* How far the reading has come. The server counts each record as a line, and within quotes the characters that its kind
 * of line end has last, or first when that is \r\n or not known yet: not always what an editor shows. */
typedef struct Scan {
  int quoted, any;        /* inside quotes; the record at hand has a byte */
  char last;              /* the byte before */
  char eol;               /* '\n', 'b' for \r\n, '\r', or 0: not known yet */
  long long server_line;  /* through the record at hand */
  long long record, line; /* before the record at hand */
  long long lines;        /* line ends so far */
} Scan;

static int record_done(Scan *scan, const mig_csv_place *place) {
  scan->record++;
  scan->server_line++;
  scan->any = 0;
  if (place->server_line > 0) return scan->server_line >= place->server_line;
  return scan->record - place->header >= place->row;
}

/* -> 1 when the record that is looked for ended with this byte, or before it. */
static int take(Scan *scan, char c, const mig_csv_place *place) {
  char last = scan->last;
  scan->last = c;
  if (!scan->quoted && last == '\r' && scan->any && (scan->eol == '\r' || (!scan->eol && c != '\n'))) {
    scan->lines += !scan->eol;
    scan->eol = '\r';
    if (record_done(scan, place)) return 1;
  }
  if (!scan->any) scan->line = scan->lines + 1;
  scan->any = 1;
  scan->lines += c == (scan->eol == '\r' ? '\r' : '\n');
  if (c == '"') scan->quoted = !scan->quoted;
  if (scan->quoted) {
    scan->server_line += c == (scan->eol == '\n' ? '\n' : '\r');
    return 0;
  }
  if (c != '\n' || scan->eol == '\r' || (scan->eol == 'b' && last != '\r')) return 0;
  if (!scan->eol) scan->eol = last == '\r' ? 'b' : '\n';
  return record_done(scan, place);
}

int mig_csv_locate(int fd, mig_csv_place *place, mig_err *err) {
  Scan scan = {0};
  char *text = malloc(MIG_COPY_CHUNK);
  size_t n;
  int found = 0, failed = 0;
  if (!text) return mig_err_set(err, "internal", "out of memory");
  do {
    failed = read_some(fd, text, &n, err);
    for (size_t i = 0; i < n && !found; i++) found = take(&scan, text[i], place);
  } while (n > 0 && !found && !failed);
  if (!found && !failed && scan.any) found = record_done(&scan, place);
  free(text);
  place->row = found ? scan.record - place->header : 0;
  place->line = found ? scan.line : 0;
  return failed;
}
