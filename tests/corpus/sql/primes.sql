WITH RECURSIVE number (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM number WHERE n < 49),
prime (n) AS (
    SELECT n FROM number AS a WHERE NOT EXISTS (SELECT 1 FROM number AS b WHERE b.n < a.n AND a.n % b.n = 0)
)
SELECT group_concat(n, ' ') FROM prime
UNION ALL
SELECT sum(n) FROM prime;
