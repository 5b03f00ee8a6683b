#include "host/alloc.h"

#include <stdlib.h>

static long left = -1;

void mig_alloc_fail_after(long allocations) { left = allocations; }

void *mig_lua_alloc(void *unused, void *block, size_t old_size, size_t new_size) {
  (void)unused;
  if (new_size == 0) {
    free(block);
    return NULL;
  }
  if (left >= 0 && (!block || new_size > old_size)) {
    if (left == 0) return NULL; /* and goes on failing: Lua collects and tries once more before it gives up */
    left--;
  }
  return realloc(block, new_size);
}
