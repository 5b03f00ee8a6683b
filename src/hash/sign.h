/* Signatures, from libcrypto. */
#ifndef MIG_HASH_SIGN_H
#define MIG_HASH_SIGN_H

#include <stddef.h>

#include "base/err.h"

enum { MIG_SIGNATURE_MAX = 2048 };

typedef struct mig_signature {
  unsigned char bytes[MIG_SIGNATURE_MAX];
  size_t len;
} mig_signature;

/* RS256 of RFC 7518: RSASSA-PKCS1-v1_5 with SHA-256. `pem` is a private RSA key without a passphrase. The code of a key
 * that cannot be used is `config`; no message quotes it. */
int mig_sign_rs256(const char *pem, const void *data, size_t n, mig_signature *signature, mig_err *err) MIG_MUSTCHECK;

#endif
