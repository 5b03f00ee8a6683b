/* What the files of the module `db` share: sessions, results as rows, parameters. */
#ifndef MIG_BIND_DB_H
#define MIG_BIND_DB_H

#include "bind/bind.h"
#include "pg/exec.h"

#define MIG_CONN "migrator.conn"

typedef struct ConnBox {
  mig_pg pg;
  mig_deadline deadline; /* of every wait in this session, MIG_NEVER by default */
  const void *busy;      /* the batch or COPY that owns the session for now */
} ConnBox;

typedef struct ResultBox {
  PGresult *result;
  mig_pg *unread; /* has further results of the same command, to be dropped when this box is closed early */
} ResultBox;

ConnBox *mig_check_conn(lua_State *L, int arg);      /* raises when closed or lost */
ConnBox *mig_check_idle_conn(lua_State *L, int arg); /* … or when a batch or COPY is under way */

/* rows.c: an empty box on the top of the stack, to be closed with lua_toclose. */
ResultBox *mig_new_result_box(lua_State *L);
void mig_result_drop(ResultBox *box);
/* Pushes the table of one result: rows by column name, fields `affected` and `command`; raises on an error result. */
void mig_push_result(lua_State *L, ResultBox *box, const char *sql);
/* Pushes the error table of an error result. */
void mig_push_failure(lua_State *L, ResultBox *box, const char *sql);
void mig_rows_open(lua_State *L);

/* batch.c: pushes what a result of a pipeline is to Lua; an error of the server is raised with `index` = number. */
int mig_push_answer(lua_State *L, ResultBox *box, lua_Integer number);

/* db.c: the table of key words at index 1 -> two arrays behind each other, each of *n with its NULL at the end; their
 * memory is on the stack. */
const char **mig_to_keywords(lua_State *L, size_t *n);

/* params.c: converts the Lua values first..last into a mig_params whose memory is on the stack. */
void mig_to_params(lua_State *L, int first, int last, mig_params *out);

/* The other types of the module. */
int mig_conn_batch(lua_State *L);    /* batch.c */
int mig_conn_copy_in(lua_State *L);  /* copy.c */
int mig_conn_copy_out(lua_State *L); /* copy.c */
int mig_db_open_later(lua_State *L); /* later.c */
void mig_later_open(lua_State *L);
int mig_db_locate_csv(lua_State *L); /* copy.c */
void mig_batch_open(lua_State *L);
void mig_copy_open(lua_State *L);

#endif
