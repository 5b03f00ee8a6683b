/* libpq asks on every TCP connection whether there are Kerberos credentials, and for that would load Kerberos, its
 * seven libraries, at every start. Linked into the program, it gets these instead, which load them when there could be
 * such credentials, or when a server asks for them. As with LDAP, not exported, and without the library it is an error
 * that libpq reports. */
#ifdef MIG_LIBPQ_INSIDE

#include <dirent.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* RFC 2744; errors stand in the upper half. */
enum { NO_CRED = 7 << 16, FAILURE = 13 << 16 };

typedef struct oid {
  uint32_t length;
  const void *elements;
} oid;

/* 1.2.840.113554.1.2.1.4 */
static const oid hostbased_service = {10, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"};
HIDDEN extern const oid *GSS_C_NT_HOSTBASED_SERVICE;
const oid *GSS_C_NT_HOSTBASED_SERVICE = &hostbased_service;

static void *find(const char *name) {
  static void *library;
  if (!library) library = dlopen("libgssapi_krb5.so.2", RTLD_NOW | RTLD_LOCAL);
  return library ? dlsym(library, name) : NULL;
}

static int has_entries(const char *path) {
  DIR *dir = opendir(path);
  struct dirent *entry;
  int found = 0;
  while (dir && !found && (entry = readdir(dir))) found = entry->d_name[0] != '.';
  if (dir) closedir(dir);
  return found;
}

static int exists_for(uid_t uid, const char *prefix) {
  char path[64];
  snprintf(path, sizeof path, "%s%u", prefix, (unsigned)uid);
  return access(path, F_OK) == 0;
}

/* Where credentials come from without any configuration, and what could configure another place. */
static int may_have_credentials(void) {
  for (char **variable = environ; *variable; variable++)
    if (strncmp(*variable, "KRB5", 4) == 0 || strncmp(*variable, "GSS", 3) == 0) return 1;
  return access("/etc/krb5.conf", F_OK) == 0 || access("/etc/gss/mech", F_OK) == 0 || has_entries("/etc/gss/mech.d") ||
         exists_for(getuid(), "/tmp/krb5cc_") || exists_for(geteuid(), "/etc/krb5/user/");
}

#define FORWARD(name, parameters, arguments) \
  HIDDEN uint32_t name parameters;           \
  uint32_t name parameters {                 \
    uint32_t(*real) parameters;              \
    *(void **)&real = find(#name);           \
    *minor = 0;                              \
    return real ? real arguments : FAILURE;  \
  }

HIDDEN uint32_t gss_acquire_cred(uint32_t *minor, void *name, uint32_t seconds, void *mechanisms, int usage,
                                 void **credentials, void **actual, uint32_t *actual_seconds);
uint32_t gss_acquire_cred(uint32_t *minor, void *name, uint32_t seconds, void *mechanisms, int usage,
                          void **credentials, void **actual, uint32_t *actual_seconds) {
  uint32_t (*real)(uint32_t *, void *, uint32_t, void *, int, void **, void **, uint32_t *);
  *minor = 0;
  if (!may_have_credentials()) return NO_CRED;
  *(void **)&real = find("gss_acquire_cred");
  return real ? real(minor, name, seconds, mechanisms, usage, credentials, actual, actual_seconds) : NO_CRED;
}

FORWARD(gss_init_sec_context,
        (uint32_t * minor, void *credentials, void **context, void *target, void *mechanism, uint32_t flags,
         uint32_t seconds, void *bindings, void *in, void **actual, void *out, uint32_t *actual_flags,
         uint32_t *actual_seconds),
        (minor, credentials, context, target, mechanism, flags, seconds, bindings, in, actual, out, actual_flags,
         actual_seconds))
FORWARD(gss_delete_sec_context, (uint32_t * minor, void **context, void *out), (minor, context, out))
FORWARD(gss_display_status, (uint32_t * minor, uint32_t status, int type, void *mechanism, uint32_t *more, void *text),
        (minor, status, type, mechanism, more, text))
FORWARD(gss_import_name, (uint32_t * minor, void *text, void *type, void **name), (minor, text, type, name))
FORWARD(gss_release_buffer, (uint32_t * minor, void *buffer), (minor, buffer))
FORWARD(gss_release_cred, (uint32_t * minor, void **credentials), (minor, credentials))
FORWARD(gss_release_name, (uint32_t * minor, void **name), (minor, name))
FORWARD(gss_wrap, (uint32_t * minor, void *context, int secret, uint32_t quality, void *in, int *actual, void *out),
        (minor, context, secret, quality, in, actual, out))
FORWARD(gss_unwrap, (uint32_t * minor, void *context, void *in, void *out, int *secret, uint32_t *quality),
        (minor, context, in, out, secret, quality))
FORWARD(gss_wrap_size_limit,
        (uint32_t * minor, void *context, int secret, uint32_t quality, uint32_t size, uint32_t *most),
        (minor, context, secret, quality, size, most))

#else
typedef int mig_no_gss;
#endif
