#include "bind/db.h"

#define BATCH "migrator.batch"

/* Statements under way in pipeline mode. The user value keeps the session alive. */
typedef struct BatchBox {
  ConnBox *conn;   /* NULL when closed */
  PGresult *ahead; /* received, not yet asked for */
  lua_Integer sent, received;
} BatchBox;

int mig_conn_batch(lua_State *L) {
  ConnBox *conn = mig_check_idle_conn(L, 1);
  BatchBox *box = mig_new_box(L, sizeof *box, 1, BATCH);
  mig_err err;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  if (mig_pipeline_begin(&conn->pg, &err)) return mig_raise(L, &err);
  box->conn = conn;
  conn->busy = box;
  return 1;
}

static BatchBox *check_batch(lua_State *L) {
  BatchBox *box = luaL_checkudata(L, 1, BATCH);
  if (!box->conn) luaL_error(L, "the batch is closed");
  lua_getiuservalue(L, 1, 1);
  mig_check_conn(L, lua_gettop(L));
  lua_pop(L, 1);
  return box;
}

static int batch_queue(lua_State *L) {
  BatchBox *box = check_batch(L);
  const char *sql = mig_check_cstring(L, 2);
  mig_params params;
  mig_err err;
  mig_to_params(L, 3, lua_gettop(L), &params);
  if (mig_pg_send(&box->conn->pg, sql, &params, &err)) return mig_raise(L, &err);
  lua_pushinteger(L, ++box->sent);
  return 1;
}

static int batch_flush(lua_State *L) {
  BatchBox *box = check_batch(L);
  mig_err err;
  if (mig_pipeline_flush(&box->conn->pg, &err)) return mig_raise(L, &err);
  return 0;
}

static int batch_sync(lua_State *L) {
  BatchBox *box = check_batch(L);
  mig_err err;
  if (mig_pipeline_sync(&box->conn->pg, &err)) return mig_raise(L, &err);
  box->sent++;
  return 0;
}

enum { FEW = 32 };

/* Takes the next real result into box->ahead; the NULLs that stand between those of two statements are passed over.
 * 1 when it is there, 0 when the deadline came first. */
static int fetch(lua_State *L, BatchBox *box, mig_deadline deadline) {
  mig_pg *pg = &box->conn->pg;
  mig_err err;
  pg->paced = box->sent - box->received > FEW;
  while (!box->ahead) {
    int ready = mig_pg_ready(pg, deadline, &err);
    if (ready == 0) return 0;
    if (ready < 0 || mig_pg_next(pg, box->conn->deadline, &box->ahead, &err)) return mig_raise(L, &err);
  }
  return 1;
}

/* -> does next have an answer before the deadline? Nothing is cancelled when it has not. */
static int batch_wait(lua_State *L) {
  BatchBox *box = check_batch(L);
  mig_deadline until = mig_check_deadline(L, 2), limit = box->conn->deadline;
  int ready = box->received == box->sent || fetch(L, box, until < limit ? until : limit);
  lua_pushboolean(L, ready || until >= limit);
  return 1;
}

/* -> has next an answer that was read already? */
static int batch_ready(lua_State *L) {
  BatchBox *box = check_batch(L);
  int come = box->received < box->sent;
  mig_err err;
  while (come && !box->ahead) {
    come = mig_pg_has_come(&box->conn->pg);
    if (come && mig_pg_next(&box->conn->pg, box->conn->deadline, &box->ahead, &err)) return mig_raise(L, &err);
  }
  lua_pushboolean(L, come);
  return 1;
}

static int batch_poll(lua_State *L) {
  BatchBox *box = check_batch(L);
  mig_err err;
  if (mig_pg_take_in(&box->conn->pg, &err)) return mig_raise(L, &err);
  return 0;
}

int mig_push_answer(lua_State *L, ResultBox *box, lua_Integer number) {
  switch (PQresultStatus(box->result)) {
    case PGRES_PIPELINE_SYNC:
      lua_pushliteral(L, "sync");
      return 1;
    case PGRES_PIPELINE_ABORTED:
      lua_pushliteral(L, "aborted");
      return 1;
    case PGRES_FATAL_ERROR:
      mig_push_failure(L, box, NULL);
      lua_pushinteger(L, number);
      lua_setfield(L, -2, "index");
      return lua_error(L);
    default:
      mig_push_result(L, box, NULL);
      return 1;
  }
}

/* -> the next result in order, or "sync" or "aborted" (skipped after an error), or nil when all were received. An error
 * of the server is raised with `index`, the number that queue returned for its statement. */
static int batch_next(lua_State *L) {
  BatchBox *box = check_batch(L);
  ResultBox *result;
  mig_err err;
  if (box->received == box->sent) return 0;
  result = mig_new_result_box(L);
  lua_toclose(L, -1);
  while (!box->ahead) /* not fetch: here the deadline cancels what runs */
    if (mig_pg_next(&box->conn->pg, box->conn->deadline, &box->ahead, &err)) return mig_raise(L, &err);
  result->result = box->ahead;
  box->ahead = NULL;
  return mig_push_answer(L, result, ++box->received);
}

/* Drops what was not received; statements of a running transaction may or may not have run. */
static int batch_close(lua_State *L) {
  BatchBox *box = luaL_checkudata(L, 1, BATCH);
  ConnBox *conn = box->conn;
  mig_err err;
  box->conn = NULL;
  PQclear(box->ahead);
  box->ahead = NULL;
  if (!conn) return 0;
  conn->busy = NULL;
  conn->pg.paced = 0;
  if (conn->pg.conn && mig_pipeline_end(&conn->pg, conn->deadline, &err)) return mig_raise(L, &err);
  return 0;
}

static const luaL_Reg methods[] = {{"queue", batch_queue}, {"flush", batch_flush}, {"sync", batch_sync},
                                   {"wait", batch_wait},   {"ready", batch_ready}, {"poll", batch_poll},
                                   {"next", batch_next},   {"close", batch_close}, {NULL, NULL}};

void mig_batch_open(lua_State *L) { mig_new_type(L, BATCH, methods, batch_close); }
