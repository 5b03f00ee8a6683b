/* UTF-8 read strictly: shortest forms only, no surrogates, nothing above U+10FFFF. */
#ifndef MIG_UTF8_H
#define MIG_UTF8_H

#include <stddef.h>

/* How many bytes at the start of text are valid; n when all are. */
size_t mig_utf8_valid(const char *text, size_t n);

/* For text that is invalid at its first byte: the length of the sequence that WHATWG's decoder replaces by one U+FFFD,
 * its "maximal subpart". n must be at least 1. */
size_t mig_utf8_subpart(const char *text, size_t n);

/* Bytes of the first character as PostgreSQL's error positions count them: an invalid byte is a character of its own.
 */
size_t mig_utf8_step(const char *text, size_t n);

#endif
