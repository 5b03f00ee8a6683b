select 'it''s;', E'a\'' -- b
'c\';', U&'\0041;', B'0;', x'1f', n';' ; select "a""b;", u&"c;";