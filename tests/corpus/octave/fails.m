puts("before\n");
fputs(stderr, "wrong\n");
exit(3);
