let () =
  print_endline "before";
  prerr_endline "wrong";
  exit 3
