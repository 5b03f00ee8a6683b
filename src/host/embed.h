/* Lua modules inside the binary. MIGRATOR_LUA_PATH, a folder, comes first: there an edit needs no rebuild. */
#ifndef MIG_EMBED_H
#define MIG_EMBED_H

#include <lua.h>
#include <stddef.h>

typedef struct mig_embedded {
  const char *name; /* module name, or a path for files that are not code */
  const char *data; /* bytecode, or the file's text */
  size_t size;
} mig_embedded;

extern const mig_embedded
    mig_embedded_modules[]; /* sorted by name, ends with a NULL name; made by scripts/dev/embed.lua */
extern const mig_embedded mig_embedded_files[];

void mig_embed_install(lua_State *L); /* puts a searcher in front of package.searchers */

#endif
