/* libpq asks an LDAP server only when a service file says so (ldap://…), but would load the library and the fifteen
 * behind it at every start. Linked into the program, it gets these instead, which load it when they are called. Not
 * exported: what else needs LDAP finds the library's own. Without the library, ldap_init fails, which libpq reports. */
#ifdef MIG_LIBPQ_INSIDE

#include <dlfcn.h>
#include <stddef.h>

#define HIDDEN __attribute__((visibility("hidden")))

struct timeval;

static void *find(const char *name) {
  static const char *const files[] = {"libldap-2.5.so.0", "libldap.so.2", "libldap.so", NULL};
  static void *library;
  for (const char *const *file = files; *file && !library; file++) library = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
  return library ? dlsym(library, name) : NULL;
}

/* A function of that name, result and parameters, which calls the library's; `missing` is its answer without one. */
#define FORWARD(type, missing, name, parameters, arguments) \
  HIDDEN type name parameters;                              \
  type name parameters {                                    \
    type(*real) parameters;                                 \
    *(void **)&real = find(#name);                          \
    return real ? real arguments : (missing);               \
  }

FORWARD(void *, NULL, ldap_init, (const char *host, int port), (host, port))
FORWARD(int, -1, ldap_set_option, (void *ld, int option, const void *value), (ld, option, value))
FORWARD(int, -1, ldap_simple_bind, (void *ld, const char *who, const char *password), (ld, who, password))
FORWARD(int, -1, ldap_result, (void *ld, int id, int all, struct timeval *timeout, void **result),
        (ld, id, all, timeout, result))
FORWARD(int, -1, ldap_search_st,
        (void *ld, const char *base, int scope, const char *filter, char **attributes, int types_only,
         struct timeval *timeout, void **result),
        (ld, base, scope, filter, attributes, types_only, timeout, result))
FORWARD(int, -1, ldap_count_entries, (void *ld, void *result), (ld, result))
FORWARD(void *, NULL, ldap_first_entry, (void *ld, void *result), (ld, result))
FORWARD(void *, NULL, ldap_get_values_len, (void *ld, void *entry, const char *attribute), (ld, entry, attribute))
FORWARD(int, -1, ldap_msgfree, (void *message), (message))
FORWARD(int, -1, ldap_unbind, (void *ld), (ld))
FORWARD(const char *, "no LDAP library", ldap_err2string, (int number), (number))

HIDDEN void ldap_value_free_len(void *values);
void ldap_value_free_len(void *values) {
  void (*real)(void *);
  *(void **)&real = find("ldap_value_free_len");
  if (real) real(values);
}

#else
typedef int mig_no_ldap;
#endif
