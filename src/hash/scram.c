/* The password's 4096 rounds of HMAC are most of what a login costs: libcrypto runs them five times as fast as libpq
 * 15, which sets up each round anew. The linker puts this in the place of libpq's own (--wrap). */
#ifdef MIG_LIBPQ_INSIDE

#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

enum { KEY_SIZE = 32 };

/* The name is the linker's: --wrap. */
// NOLINTNEXTLINE(cert-dcl51-cpp)
int __wrap_scram_SaltedPassword(const char *password, const char *salt, int salt_size, int iterations, uint8_t *result,
                                const char **complaint);
int __wrap_scram_SaltedPassword(const char *password, const char *salt, int salt_size, int iterations, uint8_t *result,
                                const char **complaint) {
  if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const unsigned char *)salt, salt_size, iterations,
                        EVP_sha256(), KEY_SIZE, result))
    return 0;
  *complaint = "libcrypto cannot derive the key";
  return -1;
}

#else
typedef int mig_no_scram;
#endif
