before
<?php
fwrite(STDERR, "wrong\n");
exit(3);
