/* The plain SHA-256 functions of libcrypto are deprecated in favour of EVP, whose look-up of a provider costs more than
 * hashing a migration, once for each. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "hash/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>

static void to_hex(const unsigned char *bytes, size_t n, char *hex) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < n; i++) {
    hex[2 * i] = digits[bytes[i] >> 4];
    hex[2 * i + 1] = digits[bytes[i] & 15];
  }
  hex[2 * n] = '\0';
}

int mig_sha256(const void *data, size_t n, char hex[MIG_SHA256_HEX], mig_err *err) {
  unsigned char bytes[SHA256_DIGEST_LENGTH];
  SHA256_CTX context;
  if (!SHA256_Init(&context) || !SHA256_Update(&context, data, n) || !SHA256_Final(bytes, &context))
    return mig_err_set(err, "internal", "sha256 failed");
  to_hex(bytes, sizeof bytes, hex);
  return 0;
}

int mig_digest(const char *name, const void *data, size_t n, char hex[MIG_DIGEST_HEX], mig_err *err) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned len;
  const EVP_MD *kind;
  if (strcmp(name, "sha256") == 0) return mig_sha256(data, n, hex, err);
  kind = EVP_get_digestbyname(name);
  if (!kind || !EVP_Digest(data, n, bytes, &len, kind, NULL))
    return mig_err_set(err, "usage", "no such digest: %s", name);
  to_hex(bytes, len, hex);
  return 0;
}

int mig_random(void *bytes, size_t n, mig_err *err) {
  if (n > 4096 || RAND_bytes(bytes, (int)n) != 1) return mig_err_set(err, "internal", "no random bytes");
  return 0;
}

void mig_hash_warm(void) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned len;
  if (RAND_bytes(bytes, 1) == 1) HMAC(EVP_sha256(), bytes, 1, bytes, 1, bytes, &len);
}
