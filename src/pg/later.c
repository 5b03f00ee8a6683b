#include "pg/later.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/wait.h"
#include "pg/exec.h"

enum { THREAD_SLACK = 100 * 1000 * 1000 /* ns */ };

static atomic_int threads;

/* Owned by both sides; whoever leaves last frees it. */
struct mig_later {
  atomic_int owners;
  int steps; /* an eventfd: one for the session, or that there is none, and one for the answers */
  pthread_t thread;
  int joined;
  mig_deadline deadline;
  mig_pg pg;
  mig_err err;
  int failed;
  char **words; /* keywords, NULL, values, NULL */
  size_t count;
  mig_questions questions; /* copies, which are ours to free */
  mig_answers answers;
};

static void release(mig_later *later) {
  if (atomic_fetch_sub(&later->owners, 1) > 1) return;
  for (size_t i = 0; i < later->answers.count; i++) PQclear(later->answers.list[i]);
  for (size_t i = 0; i < MIG_QUESTIONS; i++) free((char *)later->questions.list[i]);
  mig_pg_close(&later->pg);
  if (later->steps >= 0) close(later->steps);
  for (size_t i = 0; later->words && i < 2 * (later->count + 1); i++) free(later->words[i]);
  free(later->words);
  free(later);
}

static int send_questions(mig_later *later) {
  mig_pg *pg = &later->pg;
  char pid[16];
  const char *value = pid;
  int length = snprintf(pid, sizeof pid, "%d", PQbackendPID(pg->conn));
  if (mig_pipeline_begin(pg, &later->err)) return -1;
  for (size_t i = 0; later->questions.list[i]; i++) {
    const mig_params params = {.count = i == 0, .values = &value, .lengths = &length};
    if (mig_pg_send(pg, later->questions.list[i], &params, &later->err) || mig_pipeline_sync(pg, &later->err))
      return -1;
  }
  return 0;
}

static int ask(mig_later *later) {
  mig_answers *answers = &later->answers;
  size_t sections = 0;
  if (!later->questions.list[0] || PQserverVersion(later->pg.conn) < later->questions.oldest) return 0;
  if (send_questions(later)) return -1;
  while (later->questions.list[sections]) {
    PGresult *result;
    if (mig_pg_next(&later->pg, later->questions.patience, &result, &later->err)) return -1;
    if (!result) continue;
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) sections++;
    answers->list[answers->count++] = result;
  }
  return mig_pipeline_end(&later->pg, later->questions.patience, &later->err);
}

static void *open_session(void *arg) {
  mig_later *later = arg;
  const char *const *words = (const char *const *)later->words;
  later->failed = mig_pg_open(&later->pg, words, words + later->count + 1, later->deadline, &later->err);
  eventfd_write(later->steps, 1);
  if (!later->failed) later->failed = ask(later);
  eventfd_write(later->steps, 1);
  release(later);
  atomic_fetch_sub(&threads, 1);
  return NULL;
}

static int copy_words(mig_later *later, const char *const *keywords, const char *const *values) {
  while (keywords[later->count]) later->count++;
  later->words = calloc(2 * (later->count + 1), sizeof *later->words);
  if (!later->words) return -1;
  for (size_t i = 0; i < later->count; i++) {
    later->words[i] = strdup(keywords[i]);
    later->words[later->count + 1 + i] = strdup(values[i]);
    if (!later->words[i] || !later->words[later->count + 1 + i]) return -1;
  }
  return 0;
}

static int copy_questions(mig_later *later, const mig_questions *questions) {
  later->questions.oldest = questions->oldest;
  later->questions.patience = questions->patience;
  for (size_t i = 0; questions->list[i]; i++)
    if (!(later->questions.list[i] = strdup(questions->list[i]))) return -1;
  return 0;
}

/* Signals belong to the main thread. */
static int start_thread(mig_later *later) {
  sigset_t all, before;
  int number;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  number = pthread_create(&later->thread, NULL, open_session, later);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return number ? -1 : 0;
}

mig_later *mig_later_start(const char *const *keywords, const char *const *values, mig_deadline deadline,
                           const mig_questions *questions, mig_err *err) {
  mig_later *later = calloc(1, sizeof *later);
  if (later) {
    atomic_init(&later->owners, 1);
    later->deadline = deadline;
    later->steps = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    if (later->steps >= 0 && copy_words(later, keywords, values) == 0 && copy_questions(later, questions) == 0) {
      atomic_store(&later->owners, 2);
      atomic_fetch_add(&threads, 1);
      if (start_thread(later) == 0) return later;
      atomic_fetch_sub(&threads, 1);
      atomic_store(&later->owners, 1);
    }
    release(later);
  }
  mig_err_set(err, "internal", "cannot open a session beside this one");
  return NULL;
}

static const char *host_of(const mig_later *later) {
  for (size_t i = 0; i < later->count; i++)
    if (strcmp(later->words[i], "host") == 0) return later->words[later->count + 1 + i];
  return "the server";
}

int mig_later_is_due(const mig_later *later) {
  struct pollfd waiting = {.fd = later->steps, .events = POLLIN};
  return poll(&waiting, 1, 0) > 0;
}

static int wait_step(mig_later *later, mig_deadline deadline, mig_err *err) {
  eventfd_t one;
  if (deadline != MIG_NEVER) deadline += THREAD_SLACK;
  return mig_wait_fd(later->steps, POLLIN, deadline, NULL, err) || eventfd_read(later->steps, &one) ? -1 : 0;
}

/* The thread has the same deadlines and says best what it waited for; only a name server can make it miss one. */
int mig_later_take(mig_later *later, mig_pg *pg, mig_answers *answers, mig_err *err) {
  if (wait_step(later, later->deadline, err)) {
    if (strcmp(err->code, "timeout") == 0 && mig_remaining_ms(later->deadline) == 0) /* else it was the run's */
      mig_err_set(err, "connect", "the name %s was not resolved before the deadline", host_of(later));
    return -1;
  }
  if (wait_step(later, later->questions.patience, err)) return -1;
  pthread_join(later->thread, NULL);
  later->joined = 1;
  if (later->failed) {
    *err = later->err;
    return -1;
  }
  mig_pg_move(pg, &later->pg);
  *answers = later->answers;
  later->answers.count = 0;
  return 0;
}

void mig_later_free(mig_later *later) {
  if (!later->joined) pthread_detach(later->thread);
  release(later);
}

int mig_later_threads(void) { return atomic_load(&threads); }
