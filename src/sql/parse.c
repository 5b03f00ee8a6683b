#include "sql/parse.h"

#include <pg_query.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The library writes its trees by recursion without looking at the stack. The worst texts (1+1+1…) take 64 bytes of
 * stack for each byte of text, so long texts get a thread with a stack to match; its pages exist only when touched. */
#define SHORT_BYTES (32u << 10)
#define STACK_BYTES(n) ((4u << 20) + (size_t)128 * (n))

typedef struct parse_job {
  const char *text;
  void (*work)(struct parse_job *job);
  PgQueryParseResult tree;
  PgQueryFingerprintResult fingerprint;
} parse_job;

static void parse_tree(parse_job *job) { job->tree = pg_query_parse(job->text); }
static void make_fingerprint(parse_job *job) { job->fingerprint = pg_query_fingerprint(job->text); }

static void *run_job(void *argument) {
  parse_job *job = argument;
  job->work(job);
  return NULL;
}

/* Signals stay with the thread that waits in poll(2). */
static int start_thread(pthread_t *thread, size_t stack, parse_job *job) {
  pthread_attr_t attributes;
  sigset_t all, before;
  int failed = pthread_attr_init(&attributes);
  if (failed) return failed;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  failed = pthread_attr_setstacksize(&attributes, stack);
  if (!failed) failed = pthread_create(thread, &attributes, run_job, job);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return failed;
}

static int do_job(parse_job *job, mig_err *err) {
  size_t n = strlen(job->text);
  pthread_t thread;
  int failed;
  if (n <= SHORT_BYTES) {
    job->work(job);
    return 0;
  }
  if (n > MIG_PARSE_MAX_BYTES)
    return mig_err_set(err, "parse", "text of %zu bytes is longer than the %u the parser is given", n,
                       MIG_PARSE_MAX_BYTES);
  failed = start_thread(&thread, STACK_BYTES(n), job);
  if (failed) return mig_err_errno(err, "parse", failed, "start of the parser");
  pthread_join(thread, NULL);
  return 0;
}

static int refuse(const PgQueryError *error, mig_err *err) {
  mig_err_set(err, "parse", "%s", error->message ? error->message : "no reason given");
  err->position = error->cursorpos > 0 ? error->cursorpos : 0;
  return -1;
}

int mig_tree_parse(const char *text, char **json, mig_err *err) {
  parse_job job = {.text = text, .work = parse_tree};
  int status = 0;
  *json = NULL;
  if (do_job(&job, err)) return -1;
  if (job.tree.error) {
    status = refuse(job.tree.error, err);
  } else {
    *json = job.tree.parse_tree;
    job.tree.parse_tree = NULL;
  }
  pg_query_free_parse_result(job.tree);
  return status;
}

void mig_tree_free(char *json) { free(json); }

int mig_fingerprint_make(const char *text, mig_fingerprint *fingerprint, mig_err *err) {
  parse_job job = {.text = text, .work = make_fingerprint};
  int status = 0;
  memset(fingerprint, 0, sizeof *fingerprint);
  if (do_job(&job, err)) return -1;
  if (job.fingerprint.error)
    status = refuse(job.fingerprint.error, err);
  else
    mig_text_copy(fingerprint->hex, sizeof fingerprint->hex, job.fingerprint.fingerprint_str);
  pg_query_free_fingerprint_result(job.fingerprint);
  return status;
}
