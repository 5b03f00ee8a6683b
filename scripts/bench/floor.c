/* The least that a program with libpq costs: the same libraries, and nothing done with them. */
#include <libpq-fe.h>

int main(void) { return PQlibVersion() > 0 ? 0 : 1; }
