select 1 /* a; /* b; */ */; -- c;
;select/**/2--
;