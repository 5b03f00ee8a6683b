#include "http/client.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/interrupt.h"
#include "base/wait.h"

enum { HEAD_MAX = 1024 * 1024, LABEL_MAX = 512, POLL_MS = 60000 };

/* Every function we use, found by name. CURL_SYMBOLS(X) keeps the list in one place. */
// clang-format off
#define CURL_SYMBOLS(X) \
  X(global_init) X(easy_init) X(easy_setopt) X(easy_getinfo) X(easy_strerror) X(easy_cleanup) X(slist_append) \
  X(slist_free_all) X(multi_init) X(multi_add_handle) X(multi_remove_handle) X(multi_perform) X(multi_poll) \
  X(multi_info_read) X(multi_cleanup) X(multi_strerror) X(url) X(url_set) X(url_get) X(url_cleanup) X(free)
// clang-format on

static struct curl_api {
#define MEMBER(name) __typeof__(&curl_##name) name;
  CURL_SYMBOLS(MEMBER)
#undef MEMBER
  int is_loaded;
} api;

typedef struct transfer {
  const mig_http_request *request;
  mig_http_response *response;
  CURL *easy;
  CURLM *multi;
  struct curl_slist *headers;
  int is_loopback, too_large;
  char label[LABEL_MAX]; /* the URL without its secrets */
  char why[CURL_ERROR_SIZE];
  mig_err memory; /* a callback's failure */
} transfer;

static int load(mig_err *err) {
  static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
  void *library = NULL;
  int missing = 0;
  if (api.is_loaded) return 0;
  for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++)
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    mig_err_set(err, "http", "cannot load libcurl: %s", dlerror());
    mig_text_copy(err->hint, sizeof err->hint, "install the package libcurl4");
    return -1;
  }
#define FIND(name)                                             \
  *(void **)(void *)&api.name = dlsym(library, "curl_" #name); \
  missing += !api.name;
  CURL_SYMBOLS(FIND)
#undef FIND
  if (missing || api.global_init(CURL_GLOBAL_DEFAULT)) {
    dlclose(library);
    return mig_err_set(err, "http", "cannot use libcurl: it is too old");
  }
  api.is_loaded = 1; /* and stays so: libcurl does not like to be unloaded */
  return 0;
}

/* Callbacks: nothing but copies. A short count makes libcurl give up; `memory` or `too_large` says why. */

static size_t on_body(char *data, size_t size, size_t n, void *user) {
  transfer *t = user;
  mig_buf *body = &t->response->body;
  t->too_large = size * n > t->request->max_bytes - body->len;
  return t->too_large || mig_buf_add(body, data, size * n, &t->memory) ? 0 : size * n;
}

static size_t on_header(char *data, size_t size, size_t n, void *user) {
  transfer *t = user;
  mig_buf *head = &t->response->head;
  if (n > 5 && strncasecmp(data, "HTTP/", 5) == 0) { /* a new response: what a redirect or a 100 said is forgotten */
    head->len = 0;
    t->response->body.len = 0;
  }
  t->too_large = head->len + size * n > HEAD_MAX;
  return t->too_large || mig_buf_add(head, data, size * n, &t->memory) ? 0 : size * n;
}

static int is_loopback(const char *host) {
  size_t n = strlen(host);
  if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0) return 1;
  if (n > 10 && strcasecmp(host + n - 10, ".localhost") == 0) return 1;
  return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n;
}

static int read_url(transfer *t, mig_err *err) {
  char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
  CURLU *url = api.url();
  int failed = -1;
  if (!url) return mig_err_set(err, "internal", "out of memory");
  if (api.url_set(url, CURLUPART_URL, t->request->url, 0) || api.url_get(url, CURLUPART_SCHEME, &scheme, 0)) {
    mig_err_set(err, "http", "cannot read the URL");
  } else if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0) {
    mig_err_set(err, "http", "cannot request a URL of scheme '%s': only http and https", scheme);
  } else if (api.url_get(url, CURLUPART_HOST, &host, 0) || api.url_get(url, CURLUPART_PATH, &path, 0)) {
    mig_err_set(err, "http", "cannot read the URL");
  } else {
    api.url_get(url, CURLUPART_PORT, &port, 0);
    snprintf(t->label, sizeof t->label, "%s %s://%s%s%s%.300s", t->request->method, scheme, host, port ? ":" : "",
             port ? port : "", path);
    t->is_loopback = is_loopback(host);
    failed = 0;
  }
  api.free(scheme);
  api.free(host);
  api.free(port);
  api.free(path);
  api.url_cleanup(url);
  return failed;
}

static int add_header(transfer *t, const char *line) {
  struct curl_slist *longer = api.slist_append(t->headers, line);
  if (longer) t->headers = longer;
  return longer ? 0 : -1;
}

static int set_headers(transfer *t) {
  int has_type = 0, failed = 0;
  for (const char *const *line = t->request->headers; line && *line; line++) {
    if (strncasecmp(*line, "Content-Type:", 13) == 0) has_type = 1;
    failed |= add_header(t, *line);
  }
  failed |= add_header(t, "Expect:");                      /* no second of waiting for a 100 */
  if (!has_type) failed |= add_header(t, "Content-Type:"); /* libcurl would call any body a form */
  return failed || api.easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static int set_method(transfer *t) {
  const mig_http_request *request = t->request;
  int bad = 0;
  if (request->body || strcmp(request->method, "POST") == 0) {
    bad |= (int)api.easy_setopt(t->easy, CURLOPT_POST, 1L);
    bad |= (int)api.easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
    bad |= (int)api.easy_setopt(t->easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
    if (strcmp(request->method, "POST") == 0) return bad;
  } else if (strcmp(request->method, "HEAD") == 0) {
    return (int)api.easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
  } else if (strcmp(request->method, "GET") == 0) {
    return 0;
  }
  return bad | (int)api.easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static int set_up(transfer *t, mig_err *err) {
  const mig_http_request *request = t->request;
  CURL *easy = t->easy;
  int bad = 0;
  bad |= (int)api.easy_setopt(easy, CURLOPT_URL, request->url);
  bad |= (int)api.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  bad |= (int)api.easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  bad |= (int)api.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  bad |= (int)api.easy_setopt(easy, CURLOPT_ERRORBUFFER, t->why);
  bad |= (int)api.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  bad |= (int)api.easy_setopt(easy, CURLOPT_WRITEDATA, t);
  bad |= (int)api.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  bad |= (int)api.easy_setopt(easy, CURLOPT_HEADERDATA, t);
  bad |= (int)api.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, (long)(request->follow > 0));
  bad |= (int)api.easy_setopt(easy, CURLOPT_MAXREDIRS, (long)request->follow);
  bad |= (int)api.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->connect_timeout_ms);
  bad |= (int)api.easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs does not hold up an interrupt */
  if (t->is_loopback) bad |= (int)api.easy_setopt(easy, CURLOPT_PROXY, "");
  if (request->ca_file) bad |= (int)api.easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
  bad |= set_method(t) | set_headers(t);
  return bad ? mig_err_set(err, "http", "cannot use libcurl: it refuses an option (it must be 7.87 or newer)") : 0;
}

static int explain(const transfer *t, CURLcode result, mig_err *err) {
  if (t->memory.code) {
    *err = t->memory;
    return -1;
  }
  if (t->too_large) {
    return mig_err_set(err, "http", "%s: the answer is larger than %zu bytes", t->label, t->request->max_bytes);
  }
  if (result == CURLE_OPERATION_TIMEDOUT) return mig_err_set(err, "timeout", "%s: no connection in time", t->label);
  return mig_err_set(err, "http", "%s: %s", t->label, t->why[0] ? t->why : api.easy_strerror(result));
}

/* The transfer until its end. The second descriptor is the interrupt's, as in mig_wait_fd. */
static int wait_for(transfer *t, mig_deadline deadline, mig_err *err) {
  int active = 1, queued;
  deadline = mig_wait_until(deadline);
  for (;;) {
    struct curl_waitfd signal_fd = {.fd = mig_interrupt_fd(), .events = CURL_WAIT_POLLIN};
    int watch = signal_fd.fd >= 0 && !mig_interrupt_seen(), left = mig_remaining_ms(deadline);
    CURLMcode code = api.multi_perform(t->multi, &active);
    CURLMsg *message = api.multi_info_read(t->multi, &queued);
    if (message) return message->data.result ? explain(t, message->data.result, err) : 0;
    if (mig_interrupt_pending()) return mig_err_set(err, "interrupted", "%s: interrupted by a signal", t->label);
    if (left == 0) return mig_err_set(err, "timeout", "%s: no answer before the deadline", t->label);
    if (left < 0 || left > POLL_MS) left = POLL_MS;
    if (!code) code = api.multi_poll(t->multi, &signal_fd, (unsigned)watch, left, NULL);
    if (code) return mig_err_set(err, "internal", "%s: %s", t->label, api.multi_strerror(code));
  }
}

int mig_http_send(const mig_http_request *request, mig_deadline deadline, mig_http_response *response, mig_err *err) {
  transfer t = {.request = request, .response = response};
  int failed = -1;
  response->head.len = response->body.len = 0;
  if (load(err) || read_url(&t, err)) return -1;
  t.easy = api.easy_init();
  t.multi = api.multi_init();
  if (!t.easy || !t.multi) {
    mig_err_set(err, "internal", "out of memory");
  } else if (set_up(&t, err) == 0) {
    if (api.multi_add_handle(t.multi, t.easy)) {
      mig_err_set(err, "internal", "out of memory");
    } else {
      failed = wait_for(&t, deadline, err);
      if (!failed) api.easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &response->status);
      api.multi_remove_handle(t.multi, t.easy);
    }
  }
  api.slist_free_all(t.headers);
  if (t.easy) api.easy_cleanup(t.easy);
  if (t.multi) api.multi_cleanup(t.multi);
  return failed;
}
