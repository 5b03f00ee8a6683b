#include "hash/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

/* Without it libcrypto would ask at the terminal for the passphrase of an encrypted key. */
static int no_passphrase(char *buffer, int size, int writing, void *user) {
  (void)buffer, (void)size, (void)writing, (void)user;
  return -1;
}

static EVP_PKEY *read_key(const char *pem, mig_err *err) {
  EVP_PKEY *key = NULL;
  size_t n = strlen(pem);
  BIO *bio = n < 65536 ? BIO_new_mem_buf(pem, (int)n) : NULL;
  if (bio) key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
  BIO_free(bio);
  if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) return key;
  mig_err_set(err, "config", "cannot sign: %s", key ? "the private key is not an RSA key" : "not a private key in PEM");
  EVP_PKEY_free(key);
  return NULL;
}

int mig_sign_rs256(const char *pem, const void *data, size_t n, mig_signature *signature, mig_err *err) {
  EVP_PKEY *key = read_key(pem, err);
  EVP_MD_CTX *context;
  int failed = 0;
  signature->len = sizeof signature->bytes;
  if (key) {
    context = EVP_MD_CTX_new();
    failed = !context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
             EVP_DigestSign(context, signature->bytes, &signature->len, data, n) != 1;
    if (failed) mig_err_set(err, "config", "cannot sign with this private key");
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
  }
  ERR_clear_error(); /* libpq shares the queue, and would report what is left in it as its own */
  return key && !failed ? 0 : -1;
}
