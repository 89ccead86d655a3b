let is_prime n =
  let rec check i = i * i > n || (n mod i <> 0 && check (i + 1)) in
  check 2

let () =
  let primes = List.filter is_prime (List.init 48 (fun i -> i + 2)) in
  print_endline (String.concat " " (List.map string_of_int primes));
  print_endline (string_of_int (List.fold_left ( + ) 0 primes))
