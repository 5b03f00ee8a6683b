// Drop-in, both ways: each folder is applied by drizzle-orm, by drizzle-kit and by migrator, in several orders. After
// every run the other one must find nothing to do, and schema and tracking rows must be what drizzle-orm alone makes.
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import pg from "pg";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";

const { DATABASE_URL, MIGRATOR, WORK } = process.env;
const modules = path.join(import.meta.dirname, "node_modules");
const tally = { passed: 0, failed: 0, skipped: 0 };
let databases = 0;

const url = (name) => Object.assign(new URL(DATABASE_URL), { pathname: `/${name}` }).href;

async function withClient(target, fn) {
  const client = new pg.Client({ connectionString: target });
  client.on("error", () => {});
  await client.connect();
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
}

// A fresh database for fn, dropped after it.
async function withDatabase(fn) {
  const name = `drizzle_${++databases}`;
  await withClient(DATABASE_URL, (client) => client.query(`create database ${name} template template0`));
  try {
    return await fn(url(name));
  } finally {
    await withClient(DATABASE_URL, (client) => client.query(`drop database ${name} with (force)`));
  }
}

const orm = (target, folder) =>
  withClient(target, (client) => migrate(drizzle(client), { migrationsFolder: folder }));

function kit(target, folder) {
  const config = path.join(WORK, "drizzle.config.json");
  fs.writeFileSync(
    config,
    JSON.stringify({ dialect: "postgresql", out: path.relative(WORK, folder), dbCredentials: { url: target } }),
  );
  if (!fs.existsSync(path.join(WORK, "node_modules"))) fs.symlinkSync(modules, path.join(WORK, "node_modules"));
  const bin = path.join(modules, "drizzle-kit", "bin.cjs");
  const ran = spawnSync(process.execPath, [bin, "migrate", `--config=${config}`], { cwd: WORK, encoding: "utf8" });
  if (ran.status !== 0) throw new Error(`drizzle-kit ended with ${ran.status}: ${ran.stdout}${ran.stderr}`);
}

function ours(target, folder, ...words) {
  const ran = spawnSync(MIGRATOR, ["migrate", "--dir", folder, "--url", target, ...words], {
    cwd: WORK,
    encoding: "utf8",
  });
  return {
    code: ran.status,
    text: ran.stdout + ran.stderr,
    applied: Number(/Applied (\d+) new/.exec(ran.stdout)?.[1] ?? NaN),
  };
}

function must(ran, applied) {
  if (ran.code !== 0) throw new Error(`migrator ended with ${ran.code}: ${ran.text}`);
  if (applied !== undefined && ran.applied !== applied)
    throw new Error(`migrator applied ${ran.applied}, not ${applied}`);
}

const noise = /^(-- Dumped (from|by) |\\restrict|\\unrestrict)/;

async function look(target) {
  const dump = execFileSync("pg_dump", ["-s", "--no-owner", "-d", target], { encoding: "utf8", maxBuffer: 1 << 28 });
  const rows = await withClient(target, (client) =>
    client.query("select id, hash, created_at from drizzle.__drizzle_migrations order by id"),
  );
  return {
    schema: dump
      .split("\n")
      .filter((line) => !noise.test(line))
      .join("\n"),
    rows: rows.rows.map((row) => `${row.id} ${row.hash} ${row.created_at}`).join("\n"),
  };
}

function same(found, expected, who) {
  for (const part of ["rows", "schema"]) {
    if (found[part] === expected[part]) continue;
    const [a, b] = [found[part].split("\n"), expected[part].split("\n")];
    const at = a.findIndex((line, i) => line !== b[i]);
    throw new Error(`${who}: ${part} differ at line ${at + 1}: "${a[at]}" instead of "${b[at]}"`);
  }
}

// The folder as it was when the journal had `count` entries. The kit's snapshots are of no use to any migrator.
function cut(folder, into, journal, count) {
  fs.mkdirSync(path.join(into, "meta"), { recursive: true });
  const entries = journal.entries.slice(0, count);
  const { tag } = entries[count - 1];
  fs.copyFileSync(path.join(folder, `${tag}.sql`), path.join(into, `${tag}.sql`));
  fs.writeFileSync(path.join(into, "meta", "_journal.json"), JSON.stringify({ ...journal, entries }));
}

const skippedFor = (error) =>
  /extension "(\w+)" is not available|could not open extension control file/.exec(String(error?.cause ?? error));

async function check(name, fn) {
  try {
    await fn();
    tally.passed++;
    console.log(`ok      ${name}`);
  } catch (error) {
    tally.failed++;
    console.log(`FAILED  ${name}\n        ${String(error.message).split("\n").slice(0, 12).join("\n        ")}`);
  }
}

async function turns(folder, journal, expected, firstOurs) {
  const into = fs.mkdtempSync(path.join(WORK, "cut-"));
  await withDatabase(async (target) => {
    for (let n = 1; n <= journal.entries.length; n++) {
      cut(folder, into, journal, n);
      if ((n % 2 === 1) === firstOurs) must(ours(target, into), 1);
      else await orm(target, into);
      const { rows } = await withClient(target, (client) =>
        client.query("select count(*)::int as n from drizzle.__drizzle_migrations"),
      );
      if (rows[0].n !== n) throw new Error(`${journal.entries[n - 1].tag}: ${rows[0].n} rows after ${n} entries`);
    }
    same(await look(target), expected, "in turn");
  });
}

// What drizzle-orm makes of the journal entry by entry; `lost` are the entries that it skips without a word.
async function stepwise(folder, journal) {
  const into = fs.mkdtempSync(path.join(WORK, "cut-"));
  return withDatabase(async (target) => {
    for (let n = 1; n <= journal.entries.length; n++) {
      cut(folder, into, journal, n);
      await orm(target, into);
      const { rows } = await withClient(target, (client) =>
        client.query("select count(*)::int as n from drizzle.__drizzle_migrations"),
      );
      if (rows[0].n === n) continue;
      const { tag } = journal.entries[n - 1];
      const ran = ours(target, into);
      return { lost: tag, refused: ran.code === 1 && ran.text.includes(tag), text: ran.text };
    }
    return { state: await look(target) };
  });
}

async function compare(folder) {
  const name = path.basename(path.dirname(folder));
  const journal = JSON.parse(fs.readFileSync(path.join(folder, "meta", "_journal.json"), "utf8"));
  const count = journal.entries.length;
  let expected;
  try {
    expected = await withDatabase(async (target) => (await orm(target, folder), look(target)));
  } catch (error) {
    const missing = skippedFor(error);
    tally[missing ? "skipped" : "failed"]++;
    console.log(`${missing ? "skipped" : "FAILED "} ${name}: ${missing ? missing[0] : (error.cause ?? error)}`);
    return;
  }
  await check(`${name}: drizzle-orm, then migrator finds nothing to do`, () =>
    withDatabase(async (target) => {
      await orm(target, folder);
      must(ours(target, folder), 0);
      same(await look(target), expected, "after migrator");
    }),
  );
  await check(`${name}: migrator, then drizzle-orm finds nothing to do`, () =>
    withDatabase(async (target) => {
      must(ours(target, folder), count);
      same(await look(target), expected, "migrator alone");
      await orm(target, folder);
      same(await look(target), expected, "after drizzle-orm");
    }),
  );
  await check(`${name}: drizzle-kit migrate, then migrator finds nothing to do`, () =>
    withDatabase(async (target) => {
      kit(target, folder);
      same(await look(target), expected, "drizzle-kit alone");
      must(ours(target, folder), 0);
      same(await look(target), expected, "after migrator");
    }),
  );
  await check(`${name}: migrator, then drizzle-kit migrate finds nothing to do`, () =>
    withDatabase(async (target) => {
      must(ours(target, folder), count);
      kit(target, folder);
      same(await look(target), expected, "after drizzle-kit");
    }),
  );
  const steps = await stepwise(folder, journal);
  if (steps.lost) {
    await check(`${name}: entry by entry drizzle-orm skips ${steps.lost}, and migrator names it`, async () => {
      if (!steps.refused) throw new Error(`no refusal: ${steps.text}`);
    });
    return;
  }
  for (const first of [true, false]) {
    await check(`${name}: in turn, entry by entry, ${first ? "migrator" : "drizzle-orm"} first`, () =>
      turns(folder, journal, steps.state, first),
    );
  }
}

for (const folder of process.argv.slice(2)) await compare(folder);
console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
process.exit(tally.failed > 0 ? 1 : 0);
