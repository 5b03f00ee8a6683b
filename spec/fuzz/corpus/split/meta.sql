\set x ';'
select 1 \; select 2;
\i a.sql
copy t from stdin;
1	2
\.
