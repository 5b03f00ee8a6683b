/* The allocator of a state. Specs may let n allocations pass and all later ones fail, to walk a binding's failure
 * points. */
#ifndef MIG_ALLOC_H
#define MIG_ALLOC_H

#include <stddef.h>

void *mig_lua_alloc(void *unused, void *block, size_t old_size, size_t new_size);
void mig_alloc_fail_after(long allocations); /* -1: never */

#endif
