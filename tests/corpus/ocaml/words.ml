module Words = Map.Make (String)

let rec read counts =
  match input_line stdin with
  | line ->
      let add counts word = Words.update word (fun n -> Some (1 + Option.value n ~default:0)) counts in
      let words = List.filter (( <> ) "") (String.split_on_char ' ' line) in
      read (List.fold_left add counts words)
  | exception End_of_file -> counts

let () = Words.iter (Printf.printf "%s %d\n") (read Words.empty)
