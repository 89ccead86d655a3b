CREATE TABLE word (name TEXT);
INSERT INTO word VALUES ('the'), ('cat'), ('and'), ('the'), ('dog'), ('and'), ('the'), ('bird');
SELECT name || ' ' || count(*) FROM word GROUP BY name ORDER BY name;
