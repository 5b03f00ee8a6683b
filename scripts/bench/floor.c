/* The least that a program with libpq costs.

   floor                         the same libraries, and nothing done with them
   floor send URL TEXT...        connect; every TEXT is one message of the simple protocol; @FILE is what FILE holds
   floor pipeline URL FILE       connect; the statements of FILE (ends marked as Drizzle does) in one pipeline */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "--> statement-breakpoint";
static PGconn *conn;

static void fail(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, PQerrorMessage(conn));
  exit(1);
}

static char *text_of(const char *word) {
  if (word[0] != '@') return strdup(word);
  FILE *file = fopen(word + 1, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) fail(word);
  size_t size = (size_t)ftell(file);
  char *text = malloc(size + 1);
  rewind(file);
  if (!text || fread(text, 1, size, file) != size) fail(word);
  text[size] = '\0';
  fclose(file);
  return text;
}

static void settle(PGresult *result) {
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
    case PGRES_PIPELINE_SYNC:
      PQclear(result);
      break;
    default:
      fail("query");
  }
}

static void queue(const char *statement) {
  if (!PQsendQueryParams(conn, statement, 0, NULL, NULL, NULL, NULL, 0)) fail("send");
}

static void pipeline(char *text) {
  int synced = 0;
  if (!PQenterPipelineMode(conn)) fail("pipeline");
  queue("begin");
  for (char *end; text; text = end) {
    if ((end = strstr(text, mark))) {
      *end = '\0';
      end += sizeof mark - 1;
    }
    queue(text);
  }
  queue("commit");
  if (!PQpipelineSync(conn)) fail("sync");
  while (!synced) {
    PGresult *result = PQgetResult(conn);
    synced = result && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    if (result) settle(result);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) return PQlibVersion() > 0 ? 0 : 1;
  conn = PQconnectdb(argv[2]);
  if (PQstatus(conn) != CONNECTION_OK) fail("connect");
  for (int i = 3; i < argc; i++) {
    char *text = text_of(argv[i]);
    if (strcmp(argv[1], "pipeline") == 0) {
      pipeline(text);
    } else {
      settle(PQexec(conn, text));
    }
    free(text);
  }
  PQfinish(conn);
  return 0;
}
