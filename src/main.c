#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"

/* Everybody on the machine can read a process's arguments: a password among them is overwritten at once. */
static void hide_passwords(char *arg) {
  static const char word[] = "password=";
  char *authority = strstr(arg, ":/");
  if (authority) {
    char *colon = strchr(authority + 2, ':'), *at = strrchr(authority + 2, '@');
    if (colon && at && colon < at) memset(colon + 1, 'x', (size_t)(at - colon - 1));
  }
  for (char *found = strstr(arg, word); found; found = strstr(found, word)) {
    found += strlen(word);
    memset(found, 'x', strcspn(found, " &"));
  }
}

int main(int argc, char **argv) {
  char **copy = calloc((size_t)argc + 1, sizeof *copy);
  int copied = 0, code = 3;
  while (copy && copied < argc && (copy[copied] = strdup(argv[copied]))) hide_passwords(argv[copied++]);
  if (copy && copied == argc) {
    code = mig_host_run_last(argc, copy);
  } else {
    fputs("migrator: internal: out of memory\n", stderr);
  }
  while (copied > 0) free(copy[--copied]);
  free(copy);
  mig_host_exit(code);
}
