CREATE TABLE "a" (
	"id" serial PRIMARY KEY,
	"x" text DEFAULT ';' NOT NULL
);
--> statement-breakpoint
CREATE INDEX CONCURRENTLY "i" ON "a" USING btree ("x");