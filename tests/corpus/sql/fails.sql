SELECT 'before';
SELECT * FROM wrong;
SELECT 'never';
