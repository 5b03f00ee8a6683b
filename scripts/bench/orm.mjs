// orm.mjs FOLDER: what a project's migrate.ts does, with the real drizzle-orm.
import pg from "pg";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
await migrate(drizzle(client), { migrationsFolder: process.argv[2] });
await client.end();
