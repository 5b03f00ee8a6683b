/* The password's 4096 rounds of HMAC are most of what a login costs. libpq 15 sets up each round anew; PBKDF2 of
 * libcrypto is five times as fast, and this, which keeps the two keyed states, ten times. The linker puts it in the
 * place of libpq's own (--wrap). */
#ifdef MIG_LIBPQ_INSIDE

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = SHA256_CBLOCK, KEY_SIZE = SHA256_DIGEST_LENGTH };

typedef struct keyed {
  SHA256_CTX inner, outer; /* what a key makes of SHA-256's first state */
} keyed;

static int key_one(SHA256_CTX *state, const unsigned char key[BLOCK], unsigned char pad) {
  unsigned char block[BLOCK];
  for (int i = 0; i < BLOCK; i++) block[i] = key[i] ^ pad;
  int ok = SHA256_Init(state) && SHA256_Update(state, block, BLOCK);
  OPENSSL_cleanse(block, sizeof block);
  return ok;
}

static int key_both(keyed *hmac, const char *password) {
  unsigned char key[BLOCK] = {0};
  size_t n = strlen(password);
  int ok = 1;
  if (n > BLOCK) {
    ok = SHA256((const unsigned char *)password, n, key) != NULL;
  } else {
    for (size_t i = 0; i < n; i++) key[i] = (unsigned char)password[i];
  }
  ok = ok && key_one(&hmac->inner, key, 0x36) && key_one(&hmac->outer, key, 0x5c);
  OPENSSL_cleanse(key, sizeof key);
  return ok;
}

/* HMAC of `text` and `more` under hmac's key. */
static int sign(const keyed *hmac, const void *text, size_t n, const void *more, size_t more_n,
                unsigned char out[KEY_SIZE]) {
  SHA256_CTX state = hmac->inner;
  if (!SHA256_Update(&state, text, n) || !SHA256_Update(&state, more, more_n) || !SHA256_Final(out, &state)) return 0;
  state = hmac->outer;
  return SHA256_Update(&state, out, KEY_SIZE) && SHA256_Final(out, &state);
}

/* The name is the linker's: --wrap. */
// NOLINTNEXTLINE(cert-dcl51-cpp)
int __wrap_scram_SaltedPassword(const char *password, const char *salt, int salt_size, int iterations, uint8_t *result,
                                const char **complaint);
int __wrap_scram_SaltedPassword(const char *password, const char *salt, int salt_size, int iterations, uint8_t *result,
                                const char **complaint) {
  static const unsigned char first_block[] = {0, 0, 0, 1};
  unsigned char round[KEY_SIZE] = {0};
  keyed hmac;
  int ok = key_both(&hmac, password) && sign(&hmac, salt, (size_t)salt_size, first_block, sizeof first_block, round);
  memcpy(result, round, KEY_SIZE);
  for (int i = 1; ok && i < iterations; i++) {
    ok = sign(&hmac, round, KEY_SIZE, "", 0, round);
    for (int j = 0; j < KEY_SIZE; j++) result[j] ^= round[j];
  }
  OPENSSL_cleanse(&hmac, sizeof hmac);
  OPENSSL_cleanse(round, sizeof round);
  if (ok) return 0;
  *complaint = "libcrypto cannot derive the key";
  return -1;
}

#else
typedef int mig_no_scram;
#endif
