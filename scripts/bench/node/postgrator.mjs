// postgrator.mjs FOLDER: postgrator has no command of its own here; this is its documented use.
import pg from "pg";
import Postgrator from "postgrator";

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
const { rows } = await client.query("select current_database() as name");
const postgrator = new Postgrator({
  driver: "pg",
  database: rows[0].name,
  migrationPattern: `${process.argv[2]}/*`,
  execQuery: (query) => client.query(query),
});
await postgrator.migrate();
await client.end();
