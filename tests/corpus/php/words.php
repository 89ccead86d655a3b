<?php
$count = [];
while (($line = fgets(STDIN)) !== false) {
    foreach (preg_split('/\s+/', trim($line), -1, PREG_SPLIT_NO_EMPTY) as $word) {
        $count[$word] = ($count[$word] ?? 0) + 1;
    }
}
ksort($count);
foreach ($count as $word => $times) {
    echo "$word $times\n";
}
