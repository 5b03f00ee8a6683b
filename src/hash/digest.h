/* Digests and random bytes, from libcrypto. */
#ifndef MIG_HASH_DIGEST_H
#define MIG_HASH_DIGEST_H

#include <stddef.h>

#include "base/err.h"

enum { MIG_DIGEST_HEX = 2 * 64 + 1, MIG_SHA256_HEX = 2 * 32 + 1 };

/* name: sha1, sha256, sha384, sha512, md5. Lower-case hex with a NUL. */
int mig_digest(const char *name, const void *data, size_t n, char hex[MIG_DIGEST_HEX], mig_err *err) MIG_MUSTCHECK;
int mig_sha256(const void *data, size_t n, char hex[MIG_SHA256_HEX], mig_err *err) MIG_MUSTCHECK;
int mig_random(void *bytes, size_t n, mig_err *err) MIG_MUSTCHECK;

/* What libcrypto sets up at first use takes it milliseconds: uses once what a login with a password needs. */
void mig_hash_warm(void);

#endif
